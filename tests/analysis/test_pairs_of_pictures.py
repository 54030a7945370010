"""Near pairs and near duplicates, worked out on a few images."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pytest

from purify.analysis.near_pairs import NearPairs, duplicate_distance, duplicates_within_labels, equal_pictures


@dataclass(frozen=True)
class Nearest:
    """The nearest images of each, as `purify.analysis.nearest_images` finds them."""

    rows: np.ndarray
    cosine: np.ndarray


def nearest_of(vectors: np.ndarray, k: int) -> Nearest:
    cosines = (vectors @ vectors.T).astype(np.float32)
    np.fill_diagonal(cosines, -9)
    rows = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    return Nearest(rows, np.take_along_axis(cosines, rows, axis=1))


def drawn(rows: int, dim: int = 8, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(rows, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("limit", [0.0, 0.4])
def test_pairs_are_all_near_ones_of_two_labels_and_the_nearest_of_one(limit: float) -> None:
    vectors, label = drawn(30), np.arange(30) % 4
    nearest = nearest_of(vectors, 6)
    wanted = set()
    for row, other in itertools.product(range(30), range(6)):
        found, cosine = nearest.rows[row, other], nearest.cosine[row, other]
        if label[found] != label[row] or cosine > limit:
            wanted.add((min(row, found), max(row, found)))
    pairs = NearPairs.of(nearest, label, limit)
    assert set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == wanted
    expected = 1 - np.einsum("nd,nd->n", vectors[pairs.first], vectors[pairs.second])
    np.testing.assert_allclose(pairs.distance, expected, atol=1e-6)
    assert (np.diff(pairs.distance) >= 0).all()


def test_places_without_a_neighbor_are_no_pairs_and_equal_images_have_a_distance() -> None:
    nearest = Nearest(np.array([[1, -1], [0, 2], [1, -1]]), np.array([[1.0, 9], [1.0, 0.5], [0.5, 9]], np.float32))
    pairs = NearPairs.of(nearest, np.array([0, 1, 2]))
    assert list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == [(0, 1), (1, 2)]
    assert pairs.distance.tolist() == [1e-9, 0.5]
    kept = pairs.only(np.array([False, True]))
    assert (kept.first.tolist(), kept.second.tolist(), kept.distance.tolist()) == ([1], [2], [0.5])


def test_equal_bytes_link_the_first_image_of_a_label_to_its_others_and_the_labels_in_turn() -> None:
    label = np.array([0, 0, 1, 2, 0, 2, 1, 1])
    pictures = np.array([5, 5, 5, 5, 5, 7, -1, -1])
    first, second = equal_pictures(pictures, label)
    assert sorted(zip(first.tolist(), second.tolist(), strict=True)) == [(0, 1), (0, 2), (0, 4), (2, 3)]
    unknown = equal_pictures(np.full(3, -1), np.zeros(3, int))
    assert len(unknown[0]) == len(unknown[1]) == 0
    first, second = equal_pictures(np.array([2, 2, 2]), np.array([1, 0, 1]))  # the lower row first, not the lower label
    assert sorted(zip(first.tolist(), second.tolist(), strict=True)) == [(0, 1), (0, 2)]


def test_the_distance_of_duplicates_is_the_least_of_three() -> None:
    """The given one, a 15th of the median in a label, the thousandth quantile of different labels."""
    vectors, label = drawn(400, 16), np.sort(np.arange(400) % 20)
    cosine = np.einsum("nd,nd->n", vectors[:-1], vectors[1:])
    same = label[:-1] == label[1:]
    usual = np.median(1 - cosine[same].astype(float)) / 15
    assert duplicate_distance(vectors, label, 1 - 1e-3) == pytest.approx(1e-3)
    assert duplicate_distance(vectors, label, 0.5) == pytest.approx(usual, rel=1e-5)
    near = drawn(400, 3)  # in so few dimensions, some strangers come nearer than that
    of_different = []
    for step in (400 // 2, 400 // 3, 400 // 5, 400 // 7, 400 // 11):
        a, b = np.arange(400 - step), np.arange(step, 400)
        apart = label[a] != label[b]
        of_different.append(1 - np.einsum("nd,nd->n", near[a[apart]], near[b[apart]]).astype(np.float64))
    reached = np.quantile(np.concatenate(of_different), 0.001)
    assert reached < 0.005
    assert duplicate_distance(near, label, 0.0) == pytest.approx(reached, rel=1e-4)


def test_what_is_a_duplicate_of_what() -> None:
    """Angles in a plane, but for other labels far away; rows 0, 1, 2 are a chain of which the middle is the nearest."""
    vectors = np.concatenate([np.eye(8, dtype=np.float32)[:6], drawn(60)])
    label = np.r_[0, 0, 0, 0, 1, 0, np.arange(60) + 2]
    first, second = np.array([1, 0, 2, 3, 0]), np.array([2, 1, 3, 4, 5])
    near = NearPairs(first, second, np.array([1e-6, 2e-6, 3e-6, 4e-6, 0.9]))
    kept = np.ones(66, bool)
    found = duplicates_within_labels(near, vectors, label, kept, 0.99)
    assert found[:6].tolist() == [-1, 0, -1, 2, -1, -1]  # 2 is of 1, which is none itself; 4 has another label
    kept[0] = False
    assert duplicates_within_labels(near, vectors, label, kept, 0.99)[:6].tolist() == [-1, -1, 1, -1, -1, -1]
    pictures = np.full(66, -1)
    pictures[[1, 5, 4]] = 3
    found = duplicates_within_labels(near, vectors, label, kept, 0.99, pictures)
    assert found[:6].tolist() == [-1, -1, 1, -1, -1, 1]
