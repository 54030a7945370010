from __future__ import annotations

import math

import numpy as np
import pytest

from purify.analysis.identities.prototypes import Prototypes, poisson_tail
from purify.analysis.label_noise.mode_seeking import stack


def at(*degrees: float) -> np.ndarray:
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def test_the_bound_is_just_above_the_tail_of_the_poisson_distribution() -> None:
    for rate in (0.01, 0.5, 3.0):
        for count in range(1, 12):
            exact = 1 - sum(math.exp(-rate) * rate**k / math.factorial(k) for k in range(count))
            bound = poisson_tail(count, rate)
            if count <= rate:
                assert bound == 1
                continue
            first = math.exp(-rate) * rate**count / math.factorial(count)
            assert exact <= bound * (1 + 1e-9)
            assert bound == pytest.approx(min(1, first / (1 - rate / (count + 1))))
    assert poisson_tail(1, 0.0) == 0
    assert poisson_tail(0, 0.0) == 1


def people() -> Prototypes:
    """Labels 1, 2 and 4 of 4, 2 and 10 rows, at 0, 40 and 90 degrees; others have 3 and 1 rows."""
    groups = stack([at(-5, 5), at(35, 45), at(80, 100)])
    return Prototypes.of(np.array([1, 2, 4]), groups, np.array([3, 4, 2, 1, 10]))


def test_shares_and_numbers_of_labels_at_least_as_large() -> None:
    found = people()
    np.testing.assert_allclose(found.share, [4 / 20, 2 / 20, 10 / 20])
    assert found.larger.tolist() == [2, 4, 1]


def test_the_nearest_labels_and_their_similarities() -> None:
    prototypes = people()
    asked = stack([at(20, 40), at(60)])
    found, similarity = prototypes.alike(asked)
    assert found.tolist() == [[1, 0, 2, -1, -1, -1], [1, 2, 0, -1, -1, -1]]
    every = asked.similarity(np.zeros(3, int), prototypes.groups, np.array([1, 0, 2]))
    np.testing.assert_allclose(similarity[0, :3], every)
    assert np.isnan(similarity[0, 3:]).all()
    assert np.isnan(similarity[1]).all()  # of one image there is no cohesion


def test_images_of_a_frequent_person_gather_by_chance_and_those_of_a_rare_one_do_not() -> None:
    """Of 10 wrong rows 5 are expected of label 4 (half of all rows), 1 of label 2."""
    prototypes = people()
    frequent, rare = np.array([2]), np.array([1])
    assert prototypes.by_chance(5, 10, frequent)
    assert not prototypes.by_chance(5, 10, np.empty(0, int))
    for images in range(1, 25):
        for alike, rate, larger in ((frequent, 5.0, 1), (rare, 1.0, 4), (np.array([0, 1]), 3.0, 2)):
            expected = poisson_tail(images, rate) * 3 * larger > 0.01
            assert prototypes.by_chance(images, 10, alike) == expected
    assert prototypes.by_chance(12, 10, frequent)
    assert not prototypes.by_chance(12, 10, rare)
