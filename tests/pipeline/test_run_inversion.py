"""Faces of sub-centers at the end of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import purify
from purify.config import PurifyConfig
from purify.config_files import load_config
from purify.pipeline.run_inversion import NO_NETWORK, shown_labels
from purify.storage.files import read_table
from purify.storage.run_folder import RunFolder
from purify.tables.schema import INVERSIONS
from tests.docs.stand_ins import SHORT_TRAINING, draw_stand_ins

Draw = Callable[[Path, float, np.random.Generator], None]


def _config(*settings: str) -> PurifyConfig:
    return load_config(None, [*SHORT_TRAINING, "invert.enabled=true", "retrain.enabled=false", *settings])


def test_a_run_without_a_network_says_so(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    people = np.repeat(rng.normal(size=(4, 32)), 10, axis=0)
    ids = [f"{name}/{k}.jpg" for name in "abcd" for k in range(10)]
    pd.DataFrame({"path": ids, "label": [name[0] for name in ids]}).to_csv(tmp_path / "faces.csv", index=False)
    vectors = list((people + 0.2 * rng.normal(size=people.shape)).astype("float32"))
    pd.DataFrame({"path": ids, "embedding": vectors}).to_parquet(tmp_path / "e.parquet")
    out = tmp_path / "run"
    purify.run(tmp_path / "faces.csv", out, _config(), embeddings=tmp_path / "e.parquet", progress=False)
    run = RunFolder(out)
    assert not run.inversions.exists()
    assert run.read_info()["inversions"] == {"skipped": NO_NETWORK}
    assert NO_NETWORK in run.report.read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_run_shows_the_faces_of_its_own_network(tmp_path: Path, draw_stripes: Draw) -> None:
    draw_stand_ins(tmp_path, draw_stripes)
    config, out = _config("extractor.name=scratch", "invert.labels=2"), tmp_path / "run"
    purify.run(tmp_path / "faces", out, config, progress=False)
    run = RunFolder(out)
    table = read_table(run.inversions / "inversions.parquet", INVERSIONS)
    assert len(table["label"].unique()) == 2
    assert set(table["kind"].to_pylist()) == {"subcenter"}
    assert 'id="reconstructed"' in run.report.read_text(encoding="utf-8")
    times = {path: path.stat().st_mtime_ns for path in run.inversions.rglob("*")}
    purify.run(tmp_path / "faces", out, config, progress=False)
    assert {path: path.stat().st_mtime_ns for path in run.inversions.rglob("*")} == times


def test_mixed_labels_come_first_then_noisy_ones() -> None:
    rows = [("a", 0.5, "ok"), ("b", 0.1, "mixed"), ("c", None, "ok"), ("d", 0.9, "duplicate_of"), ("e", 0.6, "ok")]
    report = pa.table(
        {
            name: pa.array(column)
            for name, column in zip(("label", "noise_rate", "flag"), zip(*rows, strict=True), strict=True)
        }
    )
    assert shown_labels(report, ("a", "b", "c", "d"), most=3) == ["b", "a", "c"]
