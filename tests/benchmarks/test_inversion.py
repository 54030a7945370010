"""The figures of the benchmark of inversion, on vectors with known answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.inversion import markdown
from benchmarks.inversion_data import People
from benchmarks.inversion_figures import kernel_distance, likeness, pair_figures, unit
from purify.errors import InputError

RNG = np.random.default_rng(0)


def test_likeness_of_copies_of_strangers_and_of_a_mix() -> None:
    people = np.eye(8, dtype=np.float32)
    right, center = np.arange(8), np.zeros(8, np.float32)
    copies = likeness(3 * people, people, right, center=center)
    assert copies == {"right": 1.0, "wrong": 0.0, "auc": 1.0, "rank_1": 1.0}
    strangers = likeness(people, people, np.roll(right, 1), center=center)
    assert strangers["right"] == 0
    assert strangers["auc"] == pytest.approx(0.5 - 0.5 / 7)
    shifted = likeness(people + 5, people, right, center=center + 5)
    assert shifted == copies


def test_pairs_of_tight_people_are_verified_and_of_none_are_not() -> None:
    person = np.repeat(np.arange(20), 2)
    tight = unit(RNG.normal(size=(20, 16))).astype(np.float32)[person]
    found = pair_figures(tight + 0.01 * RNG.normal(size=tight.shape).astype(np.float32), person, seed=0)
    assert found["same_pairs"] == 20
    assert found["accuracy"] > 0.95
    assert found["auc"] > 0.999
    chance = pair_figures(RNG.normal(size=(40, 16)).astype(np.float32), person, seed=0)
    assert 0.3 < chance["auc"] < 0.7


def test_the_kernel_distance_is_unbiased_and_grows_with_the_shift() -> None:
    same = [kernel_distance(*RNG.normal(size=(2, 50, 6)).astype(np.float32)) for _ in range(40)]
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(40) + 1e-3
    a = RNG.normal(size=(200, 6)).astype(np.float32)
    shifts = [kernel_distance(a, RNG.normal(size=(200, 6)).astype(np.float32) + shift) for shift in (0.5, 1.0)]
    assert 0 < shifts[0] < shifts[1]


def test_the_kernel_distance_of_two_points_each() -> None:
    a, b = np.array([[1.0], [0.0]], np.float32), np.array([[0.0], [0.0]], np.float32)
    assert kernel_distance(a, b) == pytest.approx(1 + 1 - 2 * 1)  # every kernel with a zero is 1
    b = np.array([[1.0], [1.0]], np.float32)
    assert kernel_distance(a, b) == pytest.approx(1 + 8 - 2 * (8 + 8 + 1 + 1) / 4)


def test_people_are_compared_by_their_other_faces(tmp_path: Path) -> None:
    paths = [f"set/{name}/{k}.jpg" for name in "abc" for k in range(4 if name < "c" else 2)]
    vectors = RNG.normal(size=(len(paths), 5)).astype(np.float32)
    pq.write_table(pa.table({"path": paths, "embedding": list(vectors)}), tmp_path / "e.parquet")
    people = People.read(tmp_path / "e.parquet")
    chosen = people.choose(["a", "b", "c", "nobody"], 2, faces=2, seed=1)
    assert sorted(chosen) == ["a", "b"]  # c has no third one
    others = [path for path in paths[:4] if path not in chosen["a"]]
    expected = np.mean([people.vectors[path] for path in others], axis=0)
    assert people.reference(chosen)[0] == pytest.approx(expected / np.linalg.norm(expected), abs=1e-6)
    with pytest.raises(InputError, match="2 people have 3 faces, 3 are needed"):
        people.choose("abc", 3, faces=2, seed=1)


def test_the_table_has_a_line_for_each_set() -> None:
    dlib = {"right": 0.5, "wrong": 0.1, "auc": 0.9, "rank_1": 0.75}
    row = {"dlib": dlib, "dlib_own_center": dlib, "kid": 0.01, "cosine": 0.95, "judged_right": 1.0, "batchnorm_loss": 3}
    real = {"dlib": dlib, "dlib_own_center": dlib, "kid": 0.0}
    lines = markdown({"closed": {"real": real, "prior": row}}).splitlines()
    assert len(lines) == 4
    assert "| closed | generated | 0.950 | 1.000 | 3.0 | 0.500 / 0.100 | 0.900 |" in lines[3]
    assert lines[2].count("|") == lines[3].count("|") == lines[0].count("|")
