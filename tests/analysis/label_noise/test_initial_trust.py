"""Where trust begins, on drawn sets of which the truth is known."""

from __future__ import annotations

import numpy as np

from purify.analysis.label_noise.initial_trust import densest_places, recognized_places
from purify.analysis.search import unit


def test_the_right_images_are_the_dense_ones() -> None:
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(30), 20)
    wrong = rng.random(600) < 0.3
    shown = np.where(wrong, rng.integers(30, 400, 600), person)
    vectors = unit(rng.normal(size=(400, 64))[shown] + 0.3 * rng.normal(size=(600, 64)))
    dense = densest_places(vectors, person, 30, np.random.default_rng(1))
    assert set(dense.tolist()) == {0, 1}
    assert dense[~wrong].mean() > 0.99
    assert dense[wrong].mean() < 0.05


def test_every_label_has_a_trusted_image_and_labels_without_images_do_no_harm() -> None:
    rng = np.random.default_rng(0)
    label = rng.permutation(np.repeat([0, 2, 3, 5], [40, 1, 2, 40]))
    shown = np.where(np.isin(label, [2, 3]), 10 + np.arange(83), label)  # nobody twice under the labels 2 and 3
    vectors = unit(rng.normal(size=(100, 64))[shown] + 0.3 * rng.normal(size=(83, 64)))
    dense = densest_places(vectors, label, 7, np.random.default_rng(1))
    for one in (0, 2, 3, 5):
        assert dense[label == one].max() == 1
    assert dense[label == 3].sum() == 2  # each is the only one that the other is compared with: a tie
    assert dense[label == 0].mean() > 0.9


def test_where_nothing_is_dense_the_better_half_of_each_label_is_taken() -> None:
    """Vectors of nobody: fewer than a fifth are in dense regions, so half of each label begins, rounded up."""
    rng = np.random.default_rng(0)
    vectors = unit(rng.normal(size=(404, 512)))
    label = np.repeat(np.arange(4), 101)
    dense = densest_places(vectors, label, 4, np.random.default_rng(1))
    assert [dense[label == one].sum() for one in range(4)] == [51] * 4


def test_a_large_label_is_looked_at_in_part() -> None:
    rng = np.random.default_rng(0)
    label = np.repeat(np.arange(12), [900, *[20] * 11])
    vectors = unit(rng.normal(size=(12, 64))[label] + 0.3 * rng.normal(size=(len(label), 64)))
    vectors[:300] = unit(rng.normal(size=(300, 64)))
    dense = densest_places(vectors, label, 12, np.random.default_rng(1))
    assert dense[300:900].mean() > 0.99
    assert dense[:300].mean() < 0.05


def test_positive_margins_are_recognized_and_the_best_of_each_label_too() -> None:
    margin = np.array([0.1, 0.0, -0.1, -0.5, -0.4, -0.4])
    label = np.array([0, 0, 0, 1, 1, 1])
    assert recognized_places(margin, label, 2).tolist() == [1, 0, 0, 0, 1, 1]
    assert recognized_places(margin, label, 2).dtype == np.float64
