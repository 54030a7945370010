"""Measures of images against sets, and the traits of images, once more by their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from purify.analysis.identities.plda import fit_identities
from purify.analysis.label_noise.comparison import Comparison, ImageTraits, compare_with_sets
from purify.analysis.search import unit


def people() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    label = np.repeat(np.arange(40), 8)
    vectors = unit(rng.normal(size=(40, 24))[label] + 0.7 * rng.normal(size=(320, 24)))
    return vectors, label


@pytest.mark.parametrize("mates", [1, 2, 3, 7])
def test_an_image_against_a_set(mates: int) -> None:
    vectors, label = people()
    model = fit_identities(vectors, label, np.ones(320), 40)
    rows = np.arange(0, 320, 8)
    sets = rows[:, None] + 1 + np.arange(mates)
    found = compare_with_sets(vectors, model, rows, sets)
    for at, (row, others) in enumerate(zip(rows, sets, strict=True)):
        mean = vectors[others].mean(axis=0)
        single = np.sort(vectors[others] @ vectors[row])[::-1]
        assert found.cosine[at] == pytest.approx(vectors[row] @ mean / np.linalg.norm(mean), abs=1e-5)
        assert found.nearest[at] == pytest.approx(single[:3].mean(), abs=1e-5)
        own = model.coordinates(vectors[row][None])
        expected = model.log_ratio(own, model.coordinates(mean[None]), np.array([float(mates)]))
        assert found.ratio[at] == pytest.approx(expected[0], rel=1e-3, abs=1e-2)
    assert found.images.tolist() == [mates] * 40


def test_no_rows_and_several_blocks() -> None:
    vectors, label = people()
    model = fit_identities(vectors, label, np.ones(320), 40)
    assert len(compare_with_sets(vectors, model, np.empty(0, int), np.empty((0, 3), int)).ratio) == 0
    rows = np.resize(np.arange(320), 3000)
    sets = (rows[:, None] + np.array([1, 2, 3])) % 320
    whole = compare_with_sets(vectors, model, rows, sets)
    part = compare_with_sets(vectors, model, rows[2900:], sets[2900:])
    np.testing.assert_allclose(whole.ratio[2900:], part.ratio, rtol=1e-5)


def test_parts_are_taken_and_joined() -> None:
    one = Comparison(*(np.arange(4.0) + 10 * k for k in range(4)))
    both = Comparison.join([one.take([3, 0]), one.take(slice(1, 2))])
    assert both.ratio.tolist() == [3, 0, 1]
    assert both.cosine.tolist() == [13, 10, 11]
    assert both.nearest.tolist() == [23, 20, 21]
    assert both.images.tolist() == [33, 30, 31]


def test_features_are_the_measures_and_their_products_with_size_and_traits() -> None:
    traits = ImageTraits(
        quality=np.array([[0.5, -1.0], [2.0, 3.0]]),
        background=np.array([0.1, 0.2]),
        rivals=np.array([[20.0, 10.0], [-5.0, -15.0]]),
        claimant=np.array([4, -1]),
    )
    found = Comparison(np.array([100.0, 50.0, 25.0]), np.full(3, 0.5), np.full(3, 0.25), np.array([0.3, 7.0, 400.0]))
    rows, labels = np.array([0, 0, 1]), np.array([4, 5, 5])
    features = traits.features(rows, labels, found)
    rivals = [10.0, 20.0, -5.0]  # the second, where the label compared with is the first claimant itself
    for at in range(3):
        ratio, size = [2.0, 1.0, 0.5][at], np.log([1, 7, 20][at])
        length, distance = traits.quality[rows[at]]
        background, lead = traits.background[rows[at]], ratio - rivals[at] / 50
        expected = [
            *(ratio, 0.5, 0.25, size, background, length, distance, ratio * size, 0.5 * size, 0.25 * size),
            *(ratio * length, ratio * distance, ratio * background, size * background, lead, lead * size),
        ]
        np.testing.assert_allclose(features[at], expected, atol=1e-12)
    assert features.dtype == np.float64
