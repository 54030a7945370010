"""What is done otherwise with large sets, at limits lowered to the size of a test."""

from __future__ import annotations

import numpy as np
import pytest

from purify.analysis import near_pairs, search
from purify.analysis.near_pairs import NearPairs
from purify.analysis.nearest_images import nearest_images
from purify.analysis.search import cosine_index, unit


def drawn(labels: int, images: int, dim: int = 12, spread: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    label = np.repeat(np.arange(labels), images)
    return unit(rng.normal(size=(labels, dim))[label] + spread * rng.normal(size=(len(label), dim))), label


def test_of_very_many_pairs_of_different_labels_the_nearest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice as many as there are images; those of one label stay."""
    vectors, label = drawn(30, 2)
    nearest = nearest_images(vectors, label, most=20)
    every = NearPairs.of(nearest, label, 0.5)
    monkeypatch.setattr(near_pairs, "_MOST_PAIRS", 10)
    found = NearPairs.of(nearest, label, 0.5)
    apart = label[nearest.rows] != label[:, None]
    limit = 1 - np.sort(nearest.cosine[apart])[::-1][2 * len(label) - 1]
    one_label = label[every.first] == label[every.second]
    wanted = one_label | (every.distance <= limit + 1e-9)
    assert 10 < one_label.sum() < wanted.sum() < len(wanted) / 2
    np.testing.assert_array_equal(found.first, every.first[wanted])
    np.testing.assert_array_equal(found.second, every.second[wanted])
    np.testing.assert_array_equal(found.distance, every.distance[wanted])


def test_an_index_of_many_vectors_is_searched_in_part_and_the_same_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, _ = drawn(500, 8, dim=24)
    exact = cosine_index(vectors).search(vectors, 5)
    monkeypatch.setattr(search, "EXACT_ROWS", len(vectors))
    np.testing.assert_array_equal(cosine_index(vectors).search(vectors, 5)[1], exact[1])
    monkeypatch.setattr(search, "EXACT_ROWS", len(vectors) - 1)
    found, again = (cosine_index(vectors).search(vectors, 5) for _ in range(2))
    np.testing.assert_array_equal(found[1], again[1])
    assert 0.98 < (found[1] == exact[1]).mean() < 1
    same = found[1] == exact[1]
    np.testing.assert_allclose(found[0][same], exact[0][same], atol=1e-5)


def test_images_of_one_label_are_all_too_near_for_chance() -> None:
    """No pair of different labels says what chance is: the recall is that of all neighbors."""
    vectors, _ = drawn(100, 12, dim=48, spread=0.9)
    label = np.zeros(len(vectors), int)
    found = nearest_images(vectors, label, most=10, recall=0.1, exact_images=100)
    exact = nearest_images(vectors, label, most=10)
    share = (exact.rows[:, :, None] == found.rows[:, None]).any(axis=2).mean()
    assert 0.1 < share < 0.98
    assert found.recall == pytest.approx(share, abs=0.02)
