"""Images without a usable embedding are left out and said; files of other ids are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from purify.cli import main
from purify.storage.files import read_json, read_table
from purify.storage.run_folder import RunFolder
from purify.tables.schema import CLEANED, MANIFEST, VERDICTS
from tests.small_run import draw_source, update

PEOPLE, EACH = 6, 12
IDS = [f"{row}.png" for row in range(PEOPLE * EACH)]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    lines = [f"{name},p{row // EACH}\n" for row, name in enumerate(IDS)]
    (tmp_path / "faces.csv").write_text("path,label\n" + "".join(lines))
    return tmp_path / "faces.csv"


def write_embeddings(path: Path, changed: dict[int, list[float] | None], without: frozenset[int] = frozenset()) -> Path:
    rng = np.random.default_rng(0)
    vectors = np.repeat(rng.normal(size=(PEOPLE, 32)), EACH, axis=0) + 0.4 * rng.normal(size=(len(IDS), 32))
    rows = [changed.get(row, vectors[row].tolist()) for row in range(len(IDS)) if row not in without]
    ids = [name for row, name in enumerate(IDS) if row not in without]
    pq.write_table(pa.table({"path": ids, "embedding": pa.array(rows, pa.list_(pa.float32()))}), path)
    return path


def analyze(table: Path, embeddings: Path, *more: str) -> Result:
    out = str(table.parent / "run")
    return CliRunner().invoke(main, ["analyze", str(table), "--embeddings", str(embeddings), "--out", out, *more])


def test_they_are_left_out_and_said(table: Path, tmp_path: Path) -> None:
    changed = {3: None, 20: [0.0] * 32, 21: [float("nan"), *[0.5] * 31], 40: [float("inf"), *[0.5] * 31]}
    given = write_embeddings(tmp_path / "e.parquet", changed, without=frozenset({50, 51}))
    done = analyze(table, given)
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    assert (
        "Warning: no usable embedding for 6 of 72 samples, such as 3.png, 20.png, 21.png; they are not judged" in said
    )
    assert "2: there is none" in said
    assert "6 more were unusable" in said
    run = RunFolder(tmp_path / "run")
    manifest = read_table(run.manifest, MANIFEST).to_pylist()
    reasons = {row["sample_id"]: row["status_reason"] for row in manifest if row["status"] != "ok"}
    assert reasons == {
        "3.png": "no_embedding: the embedding is missing",
        "20.png": "no_embedding: the embedding is all zeros, so it has no direction",
        "21.png": "no_embedding: the embedding has a value that is missing or not finite",
        "40.png": "no_embedding: the embedding has a value that is missing or not finite",
        "50.png": "no_embedding: there is none",
        "51.png": "no_embedding: there is none",
    }
    assert {row["status"] for row in manifest} == {"ok", "no_embedding"}
    judged = read_table(run.verdicts, VERDICTS)["sample_id"].to_pylist()
    assert set(judged) == set(IDS) - set(reasons)
    assert read_json(run.info)["counts"]["not_ok"] == 6


def test_once_there_are_all_the_run_is_as_if_they_had_always_been(table: Path, tmp_path: Path) -> None:
    given = write_embeddings(tmp_path / "e.parquet", {5: [0.0] * 32})
    assert analyze(table, given).exit_code == 0
    write_embeddings(given, {})
    done = analyze(table, given)
    assert done.exit_code == 0, done.output
    assert "Warning" not in done.output
    run = RunFolder(tmp_path / "run")
    assert read_table(run.manifest, MANIFEST)["status"].to_pylist() == ["ok"] * len(IDS)
    assert read_table(run.verdicts, VERDICTS).num_rows == len(IDS)


def test_embeddings_of_other_images_are_refused(table: Path, tmp_path: Path) -> None:
    given = write_embeddings(tmp_path / "e.parquet", {}, without=frozenset(range(37)))
    done = analyze(table, given)
    assert done.exit_code == 2
    assert "no usable embedding for 37 of 72 samples, such as 0.png" in " ".join(done.output.split())
    assert not (tmp_path / "run").exists()
    assert analyze(table, given, "--set", "embeddings.most_missing=0.6").exit_code == 0
    none = write_embeddings(tmp_path / "e.parquet", {}, without=frozenset(range(1, len(IDS))))
    table.write_text("path,label\nx.png,a\ny.png,b\n")
    done = analyze(table, none, "--set", "embeddings.most_missing=1")
    assert done.exit_code == 2
    assert "no usable embedding for 2 of 2 samples" in " ".join(done.output.split())


def test_none_may_be_missing_if_the_user_says_so(table: Path, tmp_path: Path) -> None:
    given = write_embeddings(tmp_path / "e.parquet", {7: None})
    done = analyze(table, given, "--set", "embeddings.most_missing=0")
    assert done.exit_code == 2
    assert "no usable embedding for 1 of 72 samples, such as 7.png" in " ".join(done.output.split())


def test_vectors_of_another_length_are_no_missing_ones(table: Path, tmp_path: Path) -> None:
    done = analyze(table, write_embeddings(tmp_path / "e.parquet", {9: [1.0] * 31}))
    assert done.exit_code == 2
    assert "row 10: the embedding has another length" in " ".join(done.output.split())


def test_images_of_a_folder_come_back_with_their_embeddings(tmp_path: Path) -> None:
    draw_source(tmp_path, 5, 6)
    given = tmp_path / "embeddings.parquet"
    whole = pq.read_table(given)
    pq.write_table(whole.slice(2), given)
    run = update(tmp_path)
    assert read_json(run.info)["source_warnings"] == [
        "no usable embedding for 2 of 30 samples, such as p0/0.png, p0/1.png; they are not judged (2: there is none)"
    ]
    kept = set(read_table(run.cleaned, CLEANED)["sample_id"].to_pylist())
    assert kept.isdisjoint({"p0/0.png", "p0/1.png"})
    assert len(kept) >= 26
    pq.write_table(whole, given)
    run = update(tmp_path)
    assert read_json(run.info)["source_warnings"] == []
    assert read_table(run.verdicts, VERDICTS).num_rows == 30
