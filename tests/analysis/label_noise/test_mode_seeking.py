from __future__ import annotations

import numpy as np
import pytest

from purify.analysis.label_noise.mode_seeking import (
    CosineScale,
    bisect,
    cosine_scale,
    densest,
    distinct,
    scale_between,
    stack,
)


def at(*degrees: float) -> np.ndarray:
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def test_weights_rise_from_the_95_percent_quantile_by_its_distance_from_the_median() -> None:
    scale = cosine_scale(np.arange(101) / 100)
    assert (scale.low, scale.width) == pytest.approx((0.95, 0.45))
    assert scale.weight(np.array([0.0, 0.95, 1.175, 1.4, 9.0])).tolist() == pytest.approx([0, 0, 0.5, 1, 1])
    assert scale.weight(np.zeros(2)).dtype == np.float32


def test_equal_cosines_still_have_a_scale() -> None:
    scale = cosine_scale(np.full(5, 0.3))
    assert scale.low == pytest.approx(0.3)
    assert 0 < scale.width <= 1e-11
    assert scale.weight(np.array([0.2, 0.4])).tolist() == [0, 1]


def test_a_scale_between_labels_leaves_out_pairs_of_one() -> None:
    vectors, label = at(0, 0, 90, 120), np.array([0, 0, 1, 2])
    scale = scale_between(vectors, label, np.array([0, 0, 0]), np.array([1, 2, 3]))
    middle, low = np.quantile([0.0, -0.5], [0.5, 0.95])
    assert (scale.low, scale.width) == pytest.approx((low, low - middle), abs=1e-6)
    assert scale_between(vectors, label, np.array([0]), np.array([1])) is None


def test_the_mode_is_that_of_the_dense_region_and_not_the_mean() -> None:
    scale = CosineScale(0.5, 0.3)  # nothing counts from 60 degrees on, all up to 36.9
    rows = at(0, 4, 8, 120, 170, 230)
    np.testing.assert_allclose(densest(rows, scale), at(4)[0], atol=1e-6)
    assert np.linalg.norm(densest(rows, scale)) == pytest.approx(1)
    np.testing.assert_allclose(densest(at(0, 50), scale), at(25)[0], atol=1e-6)  # a weight of .48 is enough
    assert densest(at(0, 90, 180), scale) is None
    assert densest(at(0), scale) is None


def test_the_mode_moves_towards_what_it_did_not_begin_with() -> None:
    """Begins at 40 degrees with the weights of 0 and 80, and takes in none beyond: the mean shift goes on by steps."""
    scale = CosineScale(np.cos(np.radians(50)), 0.2)
    rows = at(0, 20, 40, 45, 60)
    center = densest(rows, scale)
    start = rows[2]
    weights = np.clip((rows @ start - scale.low) / scale.width, 0, 1)
    similar = np.clip((rows @ rows.T - scale.low) / scale.width, 0, 1)
    np.fill_diagonal(similar, 0)
    begin = int(similar.sum(axis=1).argmax())
    weights = similar[begin].copy()
    weights[begin] = 1
    for _ in range(7):
        mean = weights @ rows
        mean /= np.linalg.norm(mean)
        weights = np.clip((rows @ mean - scale.low) / scale.width, 0, 1)
    np.testing.assert_allclose(center, mean, atol=1e-6)


def test_two_halves_are_found_and_the_larger_one_comes_first() -> None:
    rows = at(0, 5, 10, 100, 104)
    expected = np.stack([at(5)[0], at(102)[0]])
    np.testing.assert_allclose(bisect(rows), expected, atol=1e-3)
    np.testing.assert_allclose(bisect(rows[::-1].copy()), expected, atol=1e-3)
    mirrored = rows[:, ::-1].copy()
    np.testing.assert_allclose(bisect(mirrored), expected[:, ::-1], atol=1e-3)
    two = bisect(at(0, 90))
    assert sorted(two.round(5).tolist()) == [[0, 1], [1, 0]]


def test_one_direction_has_no_halves() -> None:
    found = bisect(np.repeat(at(30), 4, axis=0))
    assert found.shape == (1, 2)
    np.testing.assert_allclose(found[0], at(30)[0], atol=1e-6)


def test_near_duplicates_of_earlier_rows_are_not_distinct() -> None:
    assert distinct(at(0, 90, 5, 95, 180), 0.98).tolist() == [True, True, False, False, True]
    assert distinct(np.array([[1, 0], [1, 0]], np.float32), 1.0).tolist() == [True, True]


def test_cohesion_is_the_mean_cosine_of_two_different_images() -> None:
    groups = stack([at(0, 60), at(10), at(0, 0, 90), np.empty((0, 2), np.float32)])
    assert groups.size.tolist() == [2, 1, 3, 0]
    np.testing.assert_allclose(groups.cohesion, [0.5, np.nan, 1 / 3, np.nan], atol=1e-6)
    np.testing.assert_allclose(groups.mean[2], [2 / 3, 1 / 3], atol=1e-6)
    assert groups.mean[3].tolist() == [0, 0]
    assert groups.only(2).size.tolist() == [3]


def test_similarity_is_relative_to_the_cosines_within_the_groups() -> None:
    groups = stack([at(0, 60), at(0, 90), at(0, 180)])
    across = np.mean(at(0, 60) @ at(0, 90).T)
    # The third has no cohesion (-1): nothing is like it.
    nothing = stack([at(0, 60), at(0, 180)])
    assert np.isnan(nothing.similarity(np.array([0]), nothing, np.array([1])))[0]
    other = stack([at(10, 40)])
    mean = np.mean(at(0, 60) @ at(10, 40).T)
    expected = mean / np.sqrt(0.5 * np.cos(np.radians(30)))
    assert groups.similarity(np.array([0]), other, np.array([0])) == pytest.approx([expected], abs=1e-6)
    assert across > 0
