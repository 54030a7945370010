"""``purify overlap`` on files: tables, record, what is dropped, refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from purify.cli import main
from purify.embedding.store import EmbeddingWriter
from purify.storage.files import read_table
from purify.tables.schema import OVERLAP_DROPPED, SHARED_PEOPLE, SHARED_PICTURES
from tests.onnx_model import write_linear_onnx

DIM = 32
FACES = np.random.default_rng(7).normal(size=(200, DIM))


def overlap(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["overlap", *map(str, arguments)])


def figures(*arguments: object) -> dict[str, Any]:
    result = overlap(*arguments, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def write_set(folder: Path, name: str, people: range, *, copied: dict[str, str] | None = None) -> list[str]:
    """``NAME.csv`` with three images of each person and ``NAME-e.parquet``; `copied` images look like those of A."""
    rng = np.random.default_rng(len(name) + people.start)
    ids = [f"{name}{person}/{k}.png" for person in people for k in range(3)]
    vectors = FACES[np.repeat(people, 3)] + 0.3 * rng.normal(size=(len(ids), DIM))
    if copied:
        other = pq.read_table(folder / "a-e.parquet").to_pydict()
        for sample_id, source in copied.items():
            vectors[ids.index(sample_id)] = other["embedding"][other["path"].index(source)]
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.astype(np.float32).ravel()), DIM)
    pq.write_table(pa.table({"path": ids, "embedding": column}), folder / f"{name}-e.parquet")
    rows = "".join(f"{sample_id},{sample_id.split('/')[0]}\n" for sample_id in ids)
    (folder / f"{name}.csv").write_text("path,label\n" + rows)
    return ids


@pytest.fixture
def sets(tmp_path: Path) -> tuple[object, ...]:
    """A has the people 0 to 79, B those from 70 to 119; a picture of person 3 is also under one of B's own people."""
    write_set(tmp_path, "a", range(80))
    write_set(tmp_path, "b", range(70, 120), copied={"b100/1.png": "a3/2.png"})
    embeddings = ["--embeddings-a", tmp_path / "a-e.parquet", "--embeddings-b", tmp_path / "b-e.parquet"]
    return (tmp_path / "a.csv", tmp_path / "b.csv", *embeddings, "--out", tmp_path / "out")


def test_people_and_pictures_with_evidence(tmp_path: Path, sets: tuple[object, ...]) -> None:
    found = figures(*sets)
    people = read_table(tmp_path / "out" / "people.parquet", SHARED_PEOPLE).to_pylist()
    assert {(row["label_a"], row["label_b"]) for row in people} == {(f"a{i}", f"b{i}") for i in range(70, 80)}
    for row in people:
        assert row["n_a"] == row["n_b"] == len(row["evidence_a"]) == 3
        assert {name.split("/")[0] for name in row["evidence_a"]} == {row["label_a"]}
        assert {name.split("/")[0] for name in row["evidence_b"]} == {row["label_b"]}
    pictures = read_table(tmp_path / "out" / "pictures.parquet", SHARED_PICTURES).to_pylist()
    same = [row for row in pictures if row["same_picture"]]
    assert [(row["sample_id_a"], row["sample_id_b"], row["same_bytes"]) for row in same] == [
        ("a3/2.png", "b100/1.png", None)
    ]
    assert found["pictures"]["same_picture_pairs"] == 1
    assert found == json.loads((tmp_path / "out" / "overlap.json").read_text())
    assert found["people"]["pairs"] == found["people"]["mutual"] == 10
    assert found["people"]["comparisons"] == 80 * 50
    assert found["people"]["expected_false"] <= 0.1
    assert "dropped" not in found
    assert not (tmp_path / "out" / "kept.parquet").exists()


def test_the_same_bytes_twice(tmp_path: Path, sets: tuple[object, ...]) -> None:
    figures(*sets)
    first = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    figures(*sets)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == first


@pytest.mark.parametrize(
    ("side", "rows", "people", "picture"), [("a", 240, 10, "a3/2.png"), ("b", 150, 10, "b100/1.png")]
)
def test_what_is_shared_is_dropped(
    tmp_path: Path, sets: tuple[object, ...], side: str, rows: int, people: int, picture: str
) -> None:
    found = figures(*sets, "--drop-from", side)["dropped"]
    dropped = read_table(tmp_path / "out" / "dropped.parquet", OVERLAP_DROPPED).to_pylist()
    kept = pq.read_table(tmp_path / "out" / "kept.parquet").to_pydict()
    assert found == {
        "from": side, "rows": rows, "kept": rows - 3 * people - 1, "dropped": 3 * people + 1,
        "shared_person": 3 * people, "shared_picture": 1,
    }  # fmt: skip
    assert [row["sample_id"] for row in dropped if row["reason"] == "shared_picture"] == [picture]
    assert len(kept["sample_id"]) == found["kept"]
    assert not set(kept["sample_id"]) & {row["sample_id"] for row in dropped}
    assert all(row["evidence_ids"] for row in dropped)


def test_a_run_stands_for_its_cleaned_set(tmp_path: Path, sets: tuple[object, ...]) -> None:
    for name in "ab":
        words = ["analyze", tmp_path / f"{name}.csv", "--embeddings", tmp_path / f"{name}-e.parquet"]
        result = CliRunner().invoke(main, [str(word) for word in (*words, "--out", tmp_path / f"run-{name}")])
        assert result.exit_code == 0
    out = tmp_path / "out"
    found = figures(tmp_path / "run-a", tmp_path / "run-b", "--out", out, "--drop-from", "b")
    assert found["people"]["pairs"] == 10
    kept, cleaned = pq.read_table(out / "kept.parquet"), pq.read_table(tmp_path / "run-b" / "cleaned.parquet")
    assert kept.schema.equals(cleaned.schema, check_metadata=True)
    names = sorted(set(kept["label"].to_pylist()))
    assert kept["label_id"].to_pylist() == [names.index(label) for label in kept["label"].to_pylist()]


@pytest.mark.parametrize("is_copy", [True, False])
def test_pixels_decide_on_pictures_with_equal_embeddings(
    tmp_path: Path, sets: tuple[object, ...], *, is_copy: bool
) -> None:
    pixels = np.random.default_rng(3).integers(0, 255, (2, 24, 24, 3), dtype=np.uint8)
    for name, one in (("a3/2.png", pixels[0]), ("b100/1.png", pixels[0] // 2 + 60 if is_copy else pixels[1])):
        (tmp_path / "seen" / name).parent.mkdir(parents=True)
        Image.fromarray(one).save(tmp_path / "seen" / name)
    result = overlap(*sets, "--images", tmp_path / "seen", "--json")
    assert result.exit_code == 0, result.output
    assert "same by their embeddings alone" not in result.stderr
    found = json.loads(result.stdout)["pictures"]
    assert (found["same_picture_pairs"], found["refuted_by_pixels"]) == ((1, 0) if is_copy else (0, 1))
    rows = read_table(tmp_path / "out" / "pictures.parquet", SHARED_PICTURES).to_pylist()
    assert [row["same_picture"] for row in rows if row["sample_id_b"] == "b100/1.png"] == [is_copy]


def test_a_model_embeds_both(tmp_path: Path, draw_stripes: Callable[[Path, float, np.random.Generator], None]) -> None:
    rng = np.random.default_rng(0)
    write_linear_onnx(tmp_path / "model.onnx", rng.normal(size=(3 * 16 * 16, 8)), size=16)
    for name, people in (("a", range(8)), ("b", range(6, 14))):
        for person in people:
            for k in range(3):
                draw_stripes(tmp_path / name / f"{name}{person}" / f"{k}.png", np.pi * person / 14, rng)
        arguments = ["ingest", tmp_path / name, "--out", tmp_path / f"set-{name}"]
        assert CliRunner().invoke(main, [str(word) for word in arguments]).exit_code == 0
    (tmp_path / "b" / "b6" / "0.png").write_bytes((tmp_path / "a" / "a1" / "0.png").read_bytes())
    assert CliRunner().invoke(main, ["ingest", str(tmp_path / "b"), "--out", str(tmp_path / "set-b")]).exit_code == 0
    places = [tmp_path / "set-a" / "manifest.parquet", tmp_path / "set-b" / "manifest.parquet"]
    shown = ["--checkpoint", tmp_path / "model.onnx", "--sheet", tmp_path / "sheet.png", "--out", tmp_path / "out"]
    found = figures(*places, *shown, "--false-share", 0.5)
    assert (found["a"]["images"], found["b"]["labels"]) == (24, 8)
    pictures = read_table(tmp_path / "out" / "pictures.parquet", SHARED_PICTURES).to_pylist()
    assert [row["sample_id_b"] for row in pictures if row["same_bytes"]] == ["b6/0.png"]
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.format == "PNG"


def test_few_labels_are_said(tmp_path: Path) -> None:
    write_set(tmp_path, "a", range(6))
    write_set(tmp_path, "b", range(4, 10))
    embeddings = ["--embeddings-a", tmp_path / "a-e.parquet", "--embeddings-b", tmp_path / "b-e.parquet"]
    result = overlap(tmp_path / "a.csv", tmp_path / "b.csv", *embeddings, "--out", tmp_path / "out")
    assert result.exit_code == 0
    assert "Warning: with 6 and 6 labels, the threshold for people rests on few pairs" in result.stderr


def test_questions(tmp_path: Path, sets: tuple[object, ...]) -> None:
    def made_with(origin: str) -> Path:
        ids = (tmp_path / "a.csv").read_text().split()[1:]
        path = tmp_path / f"{origin}.parquet"
        with EmbeddingWriter(path, 4, made_with=origin) as writer:
            writer.write([row.split(",")[0] for row in ids], np.ones((len(ids), 4), np.float32))
        return path

    both = (tmp_path / "a.csv", tmp_path / "a.csv")
    different = ["--embeddings-a", made_with("x"), "--embeddings-b", made_with("y")]
    lengths = ["--embeddings-a", tmp_path / "a-e.parquet", "--embeddings-b", made_with("x")]
    out = ["--out", tmp_path / "out"]
    for question, words in {
        "no embeddings of set A": (*both, *out),
        "embeddings of different models": (*both, *different, *out),
        "lengths 32 and 4": (*both, *lengths, *out),
        "no embedding for 150 of 150": (sets[0], sets[1], "--embeddings-a", tmp_path / "a-e.parquet",
                                        "--embeddings-b", tmp_path / "a-e.parquet", *out),
        "no run with a manifest": (tmp_path, sets[1], *out),
    }.items():  # fmt: skip
        result = overlap(*words)
        assert result.exit_code == 2, question
        assert question in result.stderr
        assert "Traceback" not in result.output
