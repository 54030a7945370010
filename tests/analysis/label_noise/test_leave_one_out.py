from __future__ import annotations

import numpy as np
import pytest

from purify.analysis.label_noise.leave_one_out import class_sums


@pytest.fixture
def weighted():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 7, 50)
    label[label == 4] = 5  # a class without images
    label[0] = 6
    return rng.normal(size=(50, 9)).astype(np.float32), label, rng.uniform(0.1, 1, 50)


def test_sums_counts_and_means(weighted) -> None:
    vectors, label, weights = weighted
    sums = class_sums(vectors, label, weights, 8)
    for klass in range(8):
        own = label == klass
        total = (vectors[own].astype(float) * weights[own, None]).sum(axis=0)
        np.testing.assert_allclose(sums.total[klass], total, atol=1e-5)
        assert sums.count[klass] == pytest.approx(weights[own].sum())
        if own.any():
            np.testing.assert_allclose(sums.means()[klass], total / weights[own].sum(), atol=1e-5)
    assert not sums.means()[[4, 7]].any()


def test_sums_without_a_row_are_those_of_the_other_rows(weighted) -> None:
    vectors, label, weights = weighted
    total, count = class_sums(vectors, label, weights, 8).without(label, vectors, weights)
    for row in range(len(label)):
        others = np.arange(len(label)) != row
        rest = class_sums(vectors[others], label[others], weights[others], 8)
        np.testing.assert_allclose(total[row], rest.total[label[row]], atol=1e-5)
        assert count[row] == pytest.approx(rest.count[label[row]], abs=1e-12)


def test_a_count_is_never_below_zero() -> None:
    weights = np.array([0.1, 0.2, 0.3])
    ones = np.ones((3, 2), np.float32)
    sums = class_sums(ones, np.zeros(3, np.int64), weights, 1)
    _, count = sums.without(np.zeros(1, np.int64), ones[:1], np.array([weights.sum() + 1e-9]))
    assert count == 0


def test_no_rows() -> None:
    sums = class_sums(np.empty((0, 3), np.float32), np.empty(0, np.int64), np.empty(0), 2)
    assert sums.total.shape == (2, 3)
    assert not sums.total.any()
    assert not sums.count.any()
