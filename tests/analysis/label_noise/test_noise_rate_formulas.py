"""The formulas of the noise rates, once more by the standard library."""

from __future__ import annotations

import math

import numpy as np
import pytest

from purify.analysis.label_noise.noise_rates import rates_by_size, rates_of_images

GROUPS = [1, 2, 3, 4, 6, 10, 20, 50]
CONCENTRATIONS = [1, 2, 3, 5, 8, 12, 20, 40, 80, 200, 1000]


def test_rates_of_groups_of_sizes_are_drawn_to_the_rate_of_all() -> None:
    sizes = np.array([1, 2, 3, 5, 6, 9, 10, 19, 20, 49, 50, 60])
    label = np.repeat(np.arange(len(sizes)), sizes)
    p_wrong = np.random.default_rng(0).random(len(label))
    known = sizes[label] > 1
    of_all = (p_wrong[known].sum() + 5) / (known.sum() + 100)
    group = np.array([max(k for k, least in enumerate(GROUPS) if least <= max(size, 2)) for size in sizes])
    expected = []
    for own in group:
        members = known & (group[label] == own)
        expected.append((p_wrong[members].sum() + 2) / (members.sum() + 2 / of_all))
    np.testing.assert_allclose(rates_by_size(p_wrong, label, sizes), expected)


def test_no_rate_is_zero_or_one() -> None:
    sizes = np.array([200_000_0 // 1000, 3])
    label = np.repeat([0, 1], sizes)
    assert rates_by_size(np.ones(len(label)), label, sizes).max() == pytest.approx(0.99)
    label, by_size = np.array([0, 0, 1, 1]), np.array([0.0, 1.0])
    found = rates_of_images(np.array([0.0, 0.0, 1.0, 1.0]), label, np.clip(by_size, 1e-9, 1 - 1e-9))
    assert found.tolist() == pytest.approx([1e-6, 1e-6, 0.99, 0.99])


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


@pytest.mark.parametrize("spread", [1.0, 6.0, 30.0, 500.0])
def test_the_rate_of_an_image_is_that_of_a_beta_binomial_model_on_the_others(spread: float) -> None:
    rng = np.random.default_rng(int(spread))
    sizes = rng.integers(1, 40, 60)
    label = np.repeat(np.arange(60), sizes)
    by_size = np.where(sizes > 10, 0.2, 0.35)
    own = rng.beta(by_size * spread, (1 - by_size) * spread)
    p_wrong = np.clip(np.where(rng.random(len(label)) < own[label], 0.97, 0.02), 0, 1)
    n, k = sizes.astype(float), np.bincount(label, weights=p_wrong)
    likelihood = [
        sum(
            _log_beta(m * c + k[i], (1 - m) * c + n[i] - k[i]) - _log_beta(m * c, (1 - m) * c)
            for i, m in enumerate(by_size)
            if n[i] > 1
        )
        for c in CONCENTRATIONS
    ]
    best = CONCENTRATIONS[int(np.argmax(likelihood))]
    expected = (k[label] - p_wrong + best * by_size[label]) / (n[label] - 1 + best)
    np.testing.assert_allclose(rates_of_images(p_wrong, label, by_size), expected)
