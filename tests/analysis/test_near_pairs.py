"""How near two images must be to count as one picture."""

from __future__ import annotations

import numpy as np
import pytest

from purify.analysis.near_pairs import duplicate_distance
from purify.analysis.search import unit


def people(*, spread: float, dim: int, classes: int = 20, images: int = 10) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    label = np.repeat(np.arange(classes), images)
    vectors = unit(rng.normal(size=(classes, dim)))[label] + spread * rng.normal(size=(len(label), dim)) / np.sqrt(dim)
    return unit(vectors).astype(np.float32), label


def test_the_given_cosine_counts_where_images_differ() -> None:
    assert duplicate_distance(*people(spread=1, dim=128), 0.98) == pytest.approx(0.02)


def test_images_of_a_label_that_are_all_alike_are_not_one_picture() -> None:
    vectors, label = people(spread=0.15, dim=128)
    cosines = vectors[label == 0] @ vectors[label == 0].T
    assert cosines.min() > 0.97
    assert 1 - cosines[~np.eye(10, dtype=bool)].max() > duplicate_distance(vectors, label, 0.98)


def test_what_different_labels_reach_is_no_sign_of_one_picture() -> None:
    vectors, label = people(spread=1, dim=3)  # few dimensions: strangers meet by chance
    limit = duplicate_distance(vectors, label, 0.98)
    left, right = np.triu_indices(len(label), 1)
    apart = label[left] != label[right]
    distances = 1 - np.einsum("nd,nd->n", vectors[left[apart]], vectors[right[apart]])
    assert (distances < 0.02).mean() > 0.008
    assert (distances < limit).mean() < 0.004


def test_one_image_has_no_duplicate_to_measure() -> None:
    assert duplicate_distance(np.ones((1, 1), np.float32), np.zeros(1, np.int64), 0.98) == pytest.approx(0.02)
