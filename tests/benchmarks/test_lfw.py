from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.detection import all_scenarios
from benchmarks.lfw import Published, as_published, companions, from_paths, long_tail, look_alike, nearest_people
from benchmarks.scenarios import read_scenario
from benchmarks.vectors import unit_rows
from purify.embedding.store import EmbeddingWriter
from purify.errors import InputError
from purify.storage.files import write_table

REPEATED, ALONE = 40, 60
SIZES = 2 + np.arange(REPEATED) % 5


@pytest.fixture(scope="module")
def published() -> Published:
    """40 people with 2 to 6 images, 160 in all, and 60 with one."""
    people = [f"P{number:02}" for number in range(REPEATED)]
    paths = [f"lfw112/{name}/{name}_{k}.jpg" for name, n in zip(people, SIZES, strict=True) for k in range(n)]
    paths += [f"lfw112/Q{number:02}/Q{number:02}_0.jpg" for number in range(ALONE)]
    return from_paths(np.array(paths[::-1], dtype=object))


@pytest.fixture(scope="module")
def vectors(published: Published) -> np.ndarray:
    """Of the people with two or more images: number n is at 6 n degrees."""
    person = published.repeated().person
    angles = np.radians(6 * person)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def _columns(table: pa.Table) -> dict[str, np.ndarray]:
    return {name: np.array(table[name].to_pylist(), dtype=object) for name in table.column_names}


def test_people_are_folders_whatever_the_order(published: Published) -> None:
    assert len(published.names) == REPEATED + ALONE
    assert published.alone.sum() == ALONE
    assert published.repeated().paths.tolist() == sorted(path for path in published.paths if "/P" in path)
    assert np.bincount(published.repeated().person).tolist() == SIZES.tolist()


def test_the_long_tail_has_its_noise_and_its_truth(published: Published) -> None:
    rows = _columns(long_tail(published, 3))
    count = int(SIZES.sum())
    flip, outlier, clean = (rows["kind"] == kind for kind in ("flip", "outlier", "clean"))
    assert (flip.sum(), outlier.sum()) == (round(0.12 * count), round(0.08 * count))
    assert len(set(rows["path"])) == len(rows["path"]) == count + outlier.sum()
    person = np.array([path.split("/")[1] for path in rows["path"]], dtype=object)
    assert (rows["label"] == rows["true_label"])[clean].all()
    assert (rows["label"] != rows["true_label"])[flip].all()
    assert (rows["true_label"] == person)[~outlier].all()
    assert all(name.startswith("Q") for name in person[outlier])
    assert (rows["true_label"][outlier] == "").all()
    assert all(name.startswith("P") for name in rows["label"])


def test_look_alikes_swap_with_the_five_nearest_only(published: Published, vectors: np.ndarray) -> None:
    rows = _columns(look_alike(published.repeated(), vectors, 3))
    flip = rows["kind"] == "flip"
    assert flip.sum() == round(0.2 * SIZES.sum())
    given, true = (np.array([int(name[1:]) for name in rows[key]]) for key in ("label", "true_label"))
    apart = np.abs(given - true)
    assert (np.minimum(apart, 60 - apart)[flip] >= 1).all()  # 60 people would close the circle
    assert (np.minimum(apart, 60 - apart)[flip] <= 5).all()
    assert (given == true)[~flip].all()


def test_nearest_people_are_ranked_by_their_means() -> None:
    vectors = unit_rows(np.array([[1, 0], [1, 0.2], [1, 0.1], [0, 1], [-1, 0]]))
    nearest = nearest_people(vectors, np.array([0, 0, 1, 2, 3]), 4)
    assert nearest.shape == (4, 3)
    assert nearest[0].tolist() == [1, 2, 3]
    assert nearest[3].tolist()[0] == 2


@pytest.fixture(scope="module")
def frequent() -> tuple[Published, np.ndarray]:
    """12 people with 12 images; those with the numbers 2 n and 2 n + 1 are a degree apart, other pairs 20 and more."""
    paths = [f"lfw112/P{number:02}/{k:02}.jpg" for number in range(12) for k in range(12)]
    angles = np.radians([20 * (number // 2) + number % 2 for number in np.repeat(np.arange(12), 12)])
    return from_paths(np.array(paths, dtype=object)), np.stack([np.cos(angles), np.sin(angles)], axis=1)


@pytest.mark.parametrize("alike", [False, True])
def test_companions_stand_under_each_others_names(frequent: tuple[Published, np.ndarray], alike: bool) -> None:
    published, vectors = frequent
    rows = _columns(companions(published, 0, vectors if alike else None))
    assert len(set(rows["path"])) == len(rows["path"])
    assert (rows["true_label"] == [path.split("/")[1] for path in rows["path"]]).all()
    assert ((rows["label"] != rows["true_label"]) == (rows["kind"] == "flip")).all()
    shown = {name: rows["true_label"][rows["label"] == name].tolist() for name in set(rows["label"])}
    with_companion = {name: people for name, people in shown.items() if len(set(people)) > 1}
    assert len(shown) == 12
    assert len(with_companion) == (6 if alike else 12)
    for name, people in with_companion.items():
        (companion,) = set(people) - {name}
        assert (people.count(name), people.count(companion)) == (6, 4)
        assert set(with_companion[companion]) == {name, companion}
        assert not alike or int(name[1:]) // 2 == int(companion[1:]) // 2


@pytest.mark.parametrize("name", ["long_tail", "look_alike", "companions"])
def test_a_seed_is_a_draw(published: Published, vectors: np.ndarray, name: str) -> None:
    def drawn(seed: int) -> pa.Table:
        if name == "long_tail":
            return long_tail(published, seed)
        if name == "companions":
            return companions(published, seed)
        return look_alike(published.repeated(), vectors, seed)

    assert drawn(1).equals(drawn(1))
    assert not drawn(1).equals(drawn(2))


def test_a_set_as_published_has_no_truth(published: Published) -> None:
    rows = _columns(as_published(published))
    assert [path.split("/")[1] for path in rows["path"]] == rows["label"].tolist()
    assert set(rows["true_label"]) == {None}


def test_scenarios_are_made_where_the_embeddings_have_lfw(published: Published, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    paths = published.paths.tolist()
    for name, ids in (("with", [*paths, "other/a/1.jpg"]), ("without", [path[4:] for path in paths])):
        with EmbeddingWriter(tmp_path / f"{name}.parquet", 4) as writer:
            writer.write(ids, rng.normal(size=(len(ids), 4)).astype(np.float32))
    write_table(
        pa.table({"path": paths[:2], "label": ["a", "b"], "true_label": ["a", "a"]}), tmp_path / "t/own.parquet"
    )
    with all_scenarios(tmp_path / "t", tmp_path / "without.parquet", seeds=range(2), out=None) as found:
        assert list(found) == ["own"]
    with all_scenarios(tmp_path / "t", tmp_path / "with.parquet", seeds=range(5, 6), out=None) as found:
        assert list(found) == ["own", "long-tail-5", "look-alike-5", "companions-5", "relatives-5", "natural"]
        scenario = read_scenario("natural", found["natural"], tmp_path / "with.parquet")
        assert not scenario.truth.known.any()
        assert scenario.kinds() == {"natural": len(paths)}
        noisy = read_scenario("noisy", found["long-tail-5"], tmp_path / "with.parquet")
        assert noisy.truth.is_noise.sum() == round(0.12 * SIZES.sum()) + round(0.08 * SIZES.sum())
    assert not found["natural"].exists()
    with all_scenarios(tmp_path / "t", tmp_path / "with.parquet", seeds=range(1), out=tmp_path / "out") as found:
        assert found["natural"] == tmp_path / "out" / "scenarios" / "natural.parquet"
    assert found["natural"].exists()


def test_truth_that_is_not_filled_in_is_still_an_error(tmp_path: Path) -> None:
    with EmbeddingWriter(tmp_path / "e.parquet", 4) as writer:
        writer.write(["a", "b"], np.eye(2, 4, dtype=np.float32))
    empty = pa.nulls(2, pa.string())
    write_table(pa.table({"path": ["a", "b"], "label": ["x", "y"], "true_label": empty}), tmp_path / "t.parquet")
    with pytest.raises(InputError, match="no true label is known"):
        read_scenario("t", tmp_path / "t.parquet", tmp_path / "e.parquet")
