"""Labels of few images, against an enumeration written out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from purify.analysis.label_noise.small_labels import ImageSets


def test_probabilities_are_those_of_all_subsets() -> None:
    rng = np.random.default_rng(0)
    rows = np.array([[3, 0, 2]])
    log_ratio = np.zeros((1, 8))
    log_ratio[0, [3, 5, 6, 7]] = rng.normal(scale=3, size=4)
    rate, hard, wrong = rng.uniform(0.1, 0.4, 4), rng.uniform(0.01, 0.1, 4), rng.normal(size=4)
    expected, total = np.zeros(3), 0.0
    for states in itertools.product(("agrees", "hard", "wrong"), repeat=3):
        subset = sum(1 << i for i, state in enumerate(states) if state == "agrees")
        weight = np.exp(log_ratio[0, subset])
        for row, state in zip(rows[0], states, strict=True):
            right = 1 - rate[row]
            weight *= {
                "agrees": right * (1 - hard[row]),
                "hard": right * hard[row],
                "wrong": rate[row] * np.exp(wrong[row]),
            }[state]
        total += weight
        expected += weight * np.array([state != "wrong" for state in states])
    found = ImageSets(rows, log_ratio).p_clean(rate, hard, wrong)
    np.testing.assert_allclose(found[0], expected / total, rtol=1e-9)


def test_of_two_that_differ_neither_is_certain() -> None:
    sets = ImageSets(np.array([[0, 1]]), np.array([[0.0, 0.0, 0.0, -12.0]]))
    found = sets.p_clean(np.full(2, 0.2), np.full(2, 1e-5), np.zeros(2))
    assert found[0, 0] == pytest.approx(found[0, 1])
    assert 0.3 < found[0, 0] < 0.5
