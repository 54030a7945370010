from __future__ import annotations

import math

import numpy as np
import pytest

from purify.analysis.label_noise.noise_rates import log_gamma, rates_by_size, rates_of_images


def test_the_logarithm_of_the_gamma_function_is_that_of_the_standard_library() -> None:
    x = np.concatenate([np.geomspace(1e-9, 1e7, 500), np.arange(1, 60) / 2, [9.999999, 10, 10.000001]])
    expected = np.array([math.lgamma(value) for value in x])
    np.testing.assert_allclose(log_gamma(x), expected, rtol=1e-13, atol=1e-13)


def test_small_labels_have_a_rate_of_their_own() -> None:
    sizes = np.r_[np.full(200, 2), np.full(50, 15), np.ones(10, int)]
    label = np.repeat(np.arange(len(sizes)), sizes)
    p_wrong = np.where(sizes[label] == 2, 0.4, 0.05)
    rates = rates_by_size(p_wrong, label, sizes)
    assert rates[0] == pytest.approx(0.4, abs=0.02)
    assert rates[200] == pytest.approx(0.05, abs=0.02)
    assert rates[-1] == rates[0]  # a label of one image takes the rate of those of two


def test_large_labels_rely_on_their_other_images() -> None:
    sizes = np.array([400, 400, *[4] * 10])
    label = np.repeat(np.arange(12), sizes)
    p_wrong = np.zeros(len(label))
    p_wrong[:200] = 1
    by_size = np.full(12, 0.2)
    rates = rates_of_images(p_wrong, label, by_size)
    assert rates[0] == pytest.approx(0.5, abs=0.03)
    assert rates[400] < 0.05
    assert 0.01 < rates[800] < 0.2
