from __future__ import annotations

import math

import numpy as np
import pytest

from purify.analysis.label_noise.class_rates import class_rates, log_gamma


def test_the_logarithm_of_the_gamma_function_is_that_of_the_standard_library() -> None:
    x = np.concatenate([np.geomspace(1e-9, 1e7, 500), np.arange(1, 60) / 2, [9.999999, 10, 10.000001]])
    expected = np.array([math.lgamma(value) for value in x])
    np.testing.assert_allclose(log_gamma(x), expected, rtol=1e-13, atol=1e-13)


def test_small_classes_lean_on_all_others_and_large_ones_on_themselves() -> None:
    label = np.repeat(np.arange(12), [400, 400, *[4] * 10])
    caught = np.zeros(len(label), bool)
    caught[:180] = True
    caught[800:802] = True
    rates, share = class_rates(caught, label, 12)
    assert rates[0] == pytest.approx(0.5, abs=0.02)
    assert rates[1] < 0.02
    assert rates[2] < 0.6
    assert rates[3] > 0
    assert share == pytest.approx(caught.mean() / 0.9)
