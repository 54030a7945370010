from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from PIL import Image

from benchmarks.detection import main, run_benchmark
from benchmarks.methods import all_methods
from benchmarks.natural import contact_sheet, surest
from benchmarks.rivals import Scores
from benchmarks.scenarios import Scenario, Truth
from benchmarks.sizes import figures_by_size, natural_rows, size_groups, size_rows
from benchmarks.vectors import LabeledVectors
from purify.embedding.store import EmbeddingWriter
from purify.errors import InputError
from purify.storage.files import read_json, write_table
from purify.tables.schema import MANIFEST


def _scenario(labels: list[int], wrong: list[int], vectors: np.ndarray | None = None) -> Scenario:
    index, count = np.array(labels), len(labels)
    ids = [f"{row}.png" for row in range(count)]
    columns = {name: pa.nulls(count, MANIFEST.field(name).type) for name in MANIFEST.names}
    columns |= {"sample_id": pa.array(ids), "label": pa.array([f"label {n}" for n in labels])}
    columns |= {"status": pa.array(["ok"] * count)}
    is_noise = np.isin(np.arange(count), wrong)
    truth = Truth(np.ones(count, bool), is_noise, np.where(is_noise, -1, index), None)
    vectors = np.zeros((count, 2), np.float32) if vectors is None else vectors
    names = tuple(f"label {n}" for n in range(max(labels) + 1))
    data = LabeledVectors(vectors, index, len(names))
    return Scenario("s", pa.table(columns, schema=MANIFEST), Path("none"), names, data, truth)


def test_labels_are_grouped_by_their_images() -> None:
    sizes = [1, 2, 3, 4, 5, 6, 9, 10, 12]
    labels = np.repeat(np.arange(len(sizes)), sizes).tolist()
    groups = size_groups(_scenario(labels, []))
    assert {name: int(inside.sum()) for name, inside in groups.items()} == {
        "1": 1,
        "2": 2,
        "3": 3,
        "4-5": 9,
        "6-9": 15,
        "10+": 22,
    }
    assert list(size_groups(_scenario([0, 0], []))) == ["2"]


def test_figures_by_size_by_hand() -> None:
    """Labels of 2, 2 and 3 images; wrong are rows 1 and 4; rows 1, 2 and 4 are removed."""
    scenario = _scenario([0, 0, 1, 1, 2, 2, 2], [1, 4])
    trust = np.array([0.9, 0.5, 0.2, 0.8, 0.1, 0.9, 0.8])
    scores = Scores(trust, np.array([0, 1, 1, 0, 1, 0, 0], bool), "probability")
    two, three = figures_by_size(scores, scenario).values()
    assert (two["labels"], two["rows"], two["wrong"], two["not_kept"]) == (2, 4, 1, 2)
    assert (two["precision"], two["recall"], two["f1"]) == (0.5, 1, pytest.approx(2 / 3))
    assert two["clean_kept"] == pytest.approx(2 / 3)
    assert two["overconfidence"] == pytest.approx(0.6 - 0.75)
    assert three["f1"] == 1
    assert three["overconfidence"] == pytest.approx(0.6 - 2 / 3)
    order = figures_by_size(replace(scores, meaning="order"), scenario)
    assert order["2"]["overconfidence"] is None


def test_the_table_by_size_has_a_block_for_each_figure() -> None:
    scenario = _scenario([0, 0, 1, 1, 2, 2, 2], [1, 4])
    scores = Scores(np.full(7, 0.5), np.array([0, 1, 1, 0, 1, 0, 0], bool), "probability")
    methods = {
        "sure": {"by_size": figures_by_size(scores, scenario)},
        "plain": {"by_size": figures_by_size(replace(scores, meaning="order"), scenario)},
    }
    header, rows = size_rows(methods)
    assert header == ["figure", "method", "2", "3"]
    assert rows[:3] == [["labels", "", "2", "1"], ["rows", "", "4", "3"], ["wrong", "", "1", "1"]]
    assert rows[3] == ["F1", "sure", "0.667", "1.000"]
    assert rows[-1] == ["p - right", "sure", "-0.250", "-0.167"]
    assert len(rows) == 3 + 4 * 2 + 1
    alike = {
        "sure": {"by_size": figures_by_size(Scores(np.ones(2), np.zeros(2, bool), "order"), _scenario([0, 0], []))}
    }
    assert size_rows(alike)[1] == []


def _angles(*degrees: float) -> np.ndarray:
    return np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], axis=1).astype(np.float32)


def test_the_surest_findings_have_a_mate_and_evidence() -> None:
    scenario = _scenario([0, 0, 0, 1, 2], [], _angles(0, 90, 20, 85, 40))
    trust, removed = np.array([0.5, 0.4, 0.9, 0.1, 0.2]), np.array([0, 1, 0, 0, 1], bool)
    found = surest(scenario, Scores(trust, removed, "order", np.array([-1, 2, -1, -1, -1])))
    assert [finding["sample_id"] for finding in found] == ["4.png", "1.png", "3.png", "0.png", "2.png"]
    assert [finding["kept"] for finding in found] == [False, False, True, True, True]
    alone, moved = found[:2]
    assert (alone["mate"], alone["evidence"], alone["proposed"], alone["relabel"]) == (None, "2.png", "label 0", False)
    assert (moved["mate"], moved["evidence"], moved["proposed"], moved["relabel"]) == (
        "2.png",
        "4.png",
        "label 2",
        True,
    )
    assert moved["cosines"] == [round(float(np.cos(np.radians(angle))), 3) for angle in (70, 50)]
    assert (moved["label"], moved["images"]) == ("label 0", 3)


def test_a_contact_sheet_is_a_picture_of_faces_at_hand(tmp_path: Path) -> None:
    scenario = _scenario([0, 0, 1], [], _angles(0, 10, 50))
    for row in range(3):
        Image.new("RGB", (20, 20), (80 * row, 0, 0)).save(tmp_path / f"{row}.png")
    found = surest(scenario, Scores(np.arange(3.0), np.zeros(3, bool), "order"))
    assert contact_sheet(found, scenario.manifest, tmp_path).startswith(b"\x89PNG")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no image of this run"):
        contact_sheet(found, scenario.manifest, tmp_path / "empty")


@pytest.fixture(scope="module")
def small_lfw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 people with 4 images and 8 with one: embeddings, pictures of one color, and a scenario besides."""
    folder = tmp_path_factory.mktemp("lfw")
    rng = np.random.default_rng(1)
    person = np.r_[np.repeat(np.arange(12), 4), np.arange(12, 20)]
    paths = [f"lfw112/P{number:02}/{row}.png" for row, number in enumerate(person)]
    vectors = np.eye(20)[person] + rng.normal(0, 0.05, (len(person), 20))
    with EmbeddingWriter(folder / "embeddings.parquet", 20) as writer:
        writer.write(paths, vectors.astype(np.float32))
    for path, number in zip(paths, person, strict=True):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (12 * int(number), 0, 0)).save(folder / path)
    table = pa.table({"path": paths[:8], "label": ["a", "b"] * 4, "true_label": ["a"] * 4 + ["b"] * 4})
    write_table(table, folder / "scenarios" / "own.parquet")
    return folder


def test_what_a_method_says_of_a_set_as_published(small_lfw: Path, tmp_path: Path) -> None:
    arguments = ["--scenarios", str(small_lfw / "scenarios"), "--embeddings", str(small_lfw / "embeddings.parquet")]
    arguments += ["--only", "natural", "--only", "long-tail-3", "--only", "argmax", "--only", "dbscan"]
    arguments += ["--seed", "3", "--images", str(small_lfw), "--out", str(tmp_path)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    answer = read_json(tmp_path / "detection.json")["scenarios"]
    assert list(answer) == ["long-tail-3", "natural"]
    natural = answer["natural"]["methods"]["dbscan"]
    assert natural["f1"] is None
    assert natural["by_size"]["1"]["rows"] == 8
    assert natural["by_size"]["1"]["not_kept"] == 0
    assert natural["sweep"] is None
    assert len(natural["surest"]) == 40
    assert answer["long-tail-3"]["methods"]["dbscan"]["sweep"]["0.50"] > 0.8
    text = (tmp_path / "detection.md").read_text()
    assert "dbscan, F1 by cut: 0.20 " in text
    assert "| method | not kept | of 1 | of 4-5 | relabeled | seconds |" in text
    assert "| all rows | 56 | 8 | 48 | - | - |" in text
    assert (tmp_path / "natural-argmax.png").read_bytes().startswith(b"\x89PNG")
    assert not list(tmp_path.glob("long-tail*.png"))


def test_counts_of_a_set_as_published(small_lfw: Path, tmp_path: Path) -> None:
    paths = [f"lfw112/P00/{row}.png" for row in range(4)] + ["lfw112/P01/4.png"]
    columns = {"path": paths, "label": ["a"] * 4 + ["b"], "true_label": pa.nulls(5, pa.string())}
    write_table(pa.table(columns | {"kind": ["natural"] * 5}), tmp_path / "n.parquet")
    methods = [all_methods()["argmax"]]
    answer = run_benchmark({"n": tmp_path / "n.parquet"}, small_lfw / "embeddings.parquet", methods, seed=0)
    header, rows = natural_rows(answer["scenarios"]["n"]["methods"])
    assert header == ["method", "not kept", "of 1", "of 4-5", "relabeled", "seconds"]
    assert rows[0] == ["all rows", "5", "1", "4", "-", "-"]
    assert rows[1][0] == "argmax"
    assert int(rows[1][1]) == int(rows[1][2]) + int(rows[1][3])
