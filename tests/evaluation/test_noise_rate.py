from __future__ import annotations

import numpy as np
import pytest

from purify.evaluation.noise_rate import estimate_noise


def test_the_share_is_the_mean_probability_of_being_wrong() -> None:
    found = estimate_noise(np.array([1.0, 0.5, 0.0, np.nan]), np.array([0, 0, 1, 1]))
    assert found is not None
    assert found.share == 0.5
    assert (found.images, found.labels) == (3, 2)
    assert found.interval[0] <= 0.5 <= found.interval[1]


def test_without_a_probability_there_is_no_estimate() -> None:
    assert estimate_noise(np.array([np.nan]), np.array([0])) is None
    assert estimate_noise(np.empty(0), np.empty(0, np.int64)) is None


def test_certain_images_of_one_label_leave_nothing_open() -> None:
    found = estimate_noise(np.repeat([1.0, 0.0], [90, 10]), np.zeros(100, np.int64))
    assert found is not None
    assert found.interval == pytest.approx((0.1, 0.1))


def test_doubtful_images_of_one_label_vary_as_coins_do() -> None:
    found = estimate_noise(np.full(400, 0.5), np.zeros(400, np.int64))
    assert found is not None
    assert found.interval == pytest.approx((0.451, 0.549), abs=0.006)  # 0.5 -+ 1.96 sqrt(0.25 / 400)


def test_the_interval_covers_the_truth_of_other_labels_drawn_alike() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for seed in range(100):
        rate = np.repeat(rng.beta(2, 5, 60), 20)
        right = rng.uniform(size=1200) > rate
        p_clean = np.where(right, 0.98, 0.02)
        found = estimate_noise(p_clean, np.repeat(np.arange(60), 20), seed=seed)
        assert found is not None
        covered += found.interval[0] <= 2 / 7 <= found.interval[1]
    assert covered >= 88
