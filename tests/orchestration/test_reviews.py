"""Reviews in the flow: they override verdicts when a run is resumed, in a new run that is given them, and in rounds."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner

from purify.cli import main
from purify.config import ApplyConfig, PurifyConfig, RoundsConfig
from purify.embedding.store import EmbeddingWriter
from purify.errors import PurifyError
from purify.orchestration.launch import run_request
from purify.pipeline.request import RunRequest, resumed_request
from purify.storage.files import read_json, read_table, write_table
from purify.storage.run_folder import RunFolder
from purify.tables.apply import apply_verdicts
from purify.tables.reviews import read_reviews
from purify.tables.schema import CLEANED, MANIFEST, REMOVED, REVIEWS, VERDICTS
from tests.noisy_set import NoisySet

pytestmark = pytest.mark.usefixtures("prefect_server")


@dataclass(frozen=True)
class Judged:
    """A table whose samples have embeddings, so that a run takes a second."""

    table: Path
    embeddings: Path
    config: PurifyConfig

    def request(self, folder: Path, **update: object) -> RunRequest:
        config = self.config.model_copy(update=update)
        return RunRequest(str(self.table), str(folder), config, str(self.embeddings))


@pytest.fixture(scope="module")
def judged(noisy_set: NoisySet, tmp_path_factory: pytest.TempPathFactory) -> Judged:
    folder = tmp_path_factory.mktemp("judged")
    with noisy_set.table.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if "broken" not in row["path"]]
    rng = np.random.default_rng(0)
    centers = {label: rng.normal(size=16) for label in sorted({row["true_label"] for row in rows})}
    vectors = np.stack([centers[row["true_label"]] for row in rows]) + 0.3 * rng.normal(size=(len(rows), 16))
    vectors[[7, 40]] = 2 * rng.normal(size=(2, 16))  # strangers, to be dropped
    with EmbeddingWriter(folder / "embeddings.parquet", 16) as writer:
        writer.write([row["path"] for row in rows], vectors.astype(np.float32))
    with (folder / "table.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, fieldnames=list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    config = noisy_set.config()
    off = {
        "evaluate": config.evaluate.model_copy(update={"pairs": None}),
        "retrain": config.retrain.model_copy(update={"enabled": False}),
    }
    return Judged(folder / "table.csv", folder / "embeddings.parquet", config.model_copy(update=off))


def _write_reviews(path: Path, *rows: tuple[str, str, str | None]) -> None:
    at = datetime(2026, 1, 2, tzinfo=UTC)
    records = [{"sample_id": i, "decision": d, "new_label": new, "reviewer": "ann", "at": at} for i, d, new in rows]
    write_table(pa.Table.from_pylist(records, schema=REVIEWS), path)


def _ids(path: Path, schema: pa.Schema) -> list[str]:
    found: list[str] = read_table(path, schema, columns=["sample_id"])["sample_id"].to_pylist()
    return found


def _counts(run: RunFolder) -> dict[str, int]:
    found: dict[str, int] = read_json(run.info)["counts"]
    return found


def test_a_resumed_run_and_a_new_one_honor_the_reviews(judged: Judged, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "first")
    run_request(judged.request(run.root), quiet=True)
    kept, gone = _ids(run.cleaned, CLEANED), _ids(run.removed, REMOVED)
    before = _counts(run)
    _write_reviews(
        run.reviews, (kept[0], "drop", None), (gone[0], "keep", None), (kept[1], "relabel", "new"), ("?", "drop", None)
    )

    run_request(resumed_request(run.root), quiet=True)
    now_kept = _ids(run.cleaned, CLEANED)
    assert {*now_kept} == {*kept} - {kept[0]} | {gone[0]}
    assert _counts(run) == {**before, "reviewed": 3, "reviews_ignored": 1}
    assert _counts(run)["rows"] == len(now_kept) + len(_ids(run.removed, REMOVED))
    labels = dict(zip(now_kept, read_table(run.cleaned, CLEANED)["label"].to_pylist(), strict=True))
    assert labels[kept[1]] == "new"
    applied = run.cleaned.stat().st_mtime_ns
    run_request(resumed_request(run.root), quiet=True)
    assert run.cleaned.stat().st_mtime_ns == applied

    again = RunFolder(tmp_path / "again")
    run_request(judged.request(again.root, apply=ApplyConfig(reviews=str(run.reviews))), quiet=True)
    assert again.cleaned.read_bytes() == run.cleaned.read_bytes()
    assert read_reviews(again.reviews).equals(read_reviews(run.reviews))
    assert str(run.reviews) in read_json(again.info)["input_hashes"]

    run.reviews.unlink()
    run_request(resumed_request(run.root), quiet=True)
    assert _ids(run.cleaned, CLEANED) == kept


def test_apply_takes_reviews(judged: Judged, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run_request(judged.request(run.root), quiet=True)
    kept = _ids(run.cleaned, CLEANED)
    _write_reviews(run.reviews, (kept[2], "drop", None))
    arguments: list[Any] = ["apply", run.manifest, "--verdicts", run.verdicts, "--out", run.root, "--json"]
    result = CliRunner().invoke(main, [str(word) for word in [*arguments, "--reviews", run.reviews]])
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert (answer["reviewed"], answer["reviews_ignored"]) == (1, 0)
    assert answer["cleaned"] == len(kept) - 1 == answer["rows"] - answer["removed"]
    assert _ids(run.cleaned, CLEANED) == [sample for sample in kept if sample != kept[2]]

    bad = tmp_path / "bad.parquet"
    _write_reviews(bad, (kept[2], "relabel", None))
    result = CliRunner().invoke(main, [str(word) for word in [*arguments, "--reviews", bad]])
    assert result.exit_code == 2
    assert str(bad) in result.stderr


def test_a_later_round_trains_on_what_the_reviews_leave(
    judged: Judged, noisy_set: NoisySet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its table is what counts here, so the training itself is not done."""

    def no_training(*_: object) -> None:
        raise PurifyError("no training in this test")

    monkeypatch.setattr("purify.pipeline.stages.run_job", no_training)
    reviews = tmp_path / "reviews.parquet"
    sample = judged.table.read_text(encoding="utf-8").splitlines()[1].split(",")[0]
    _write_reviews(reviews, (sample, "relabel", "label 5"))
    request = judged.request(
        tmp_path / "rounds",
        apply=ApplyConfig(reviews=str(reviews)),
        rounds=RoundsConfig(most=2, least_change=0, least_noise_change=0),
        ingest=noisy_set.config().ingest,
    )
    with pytest.raises(PurifyError, match="no training in this test"):
        run_request(request, quiet=True)
    run = RunFolder(Path(request.run_folder))
    trained_on = read_table(run.round(2).training_table, CLEANED)
    manifest, verdicts = read_table(run.manifest, MANIFEST), read_table(run.round(1).verdicts, VERDICTS)
    assert trained_on.equals(apply_verdicts(manifest, verdicts, read_reviews(reviews)).cleaned)
    assert not trained_on.equals(apply_verdicts(manifest, verdicts).cleaned)
