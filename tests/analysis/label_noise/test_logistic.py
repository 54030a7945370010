from __future__ import annotations

import numpy as np
import pytest

from purify.analysis.label_noise.logistic import LARGEST_LOGIT, fit_logistic, sigmoid


def test_log_odds_of_two_gaussians_are_the_ratio_of_their_densities() -> None:
    """N(1, 1) against N(-1, 1): the logarithm of the ratio is 2x, however many there are of each."""
    rng = np.random.default_rng(0)
    positive, negative = rng.normal(1, 1, (40_000, 1)), rng.normal(-1, 1, (10_000, 1))
    model = fit_logistic(positive, np.ones(len(positive)), negative)
    at = np.array([[-1.0], [0.0], [1.0]])
    np.testing.assert_allclose(model.log_odds(at), 2 * at[:, 0], atol=0.1)


def test_several_features_that_share_their_noise() -> None:
    """Of Gaussians with one covariance the coefficients are its inverse times the difference of the means."""
    rng = np.random.default_rng(1)
    covariance = np.array([[1.0, 0.6], [0.6, 2.0]])
    apart = np.array([1.0, -0.5])
    noise = rng.multivariate_normal([0, 0], covariance, 60_000)
    positive, negative = noise[:30_000] + apart, noise[30_000:]
    model = fit_logistic(positive, np.ones(len(positive)), negative)
    slope = model.log_odds(np.eye(2)) - model.log_odds(np.zeros((2, 2)))
    np.testing.assert_allclose(slope, np.linalg.solve(covariance, apart), atol=0.06)


def test_a_weight_counts_as_that_many_rows() -> None:
    rng = np.random.default_rng(2)
    positive, negative = rng.normal(1, 1, (300, 2)), rng.normal(-1, 1, (300, 2))
    times = rng.integers(1, 4, 300)
    weighted = fit_logistic(positive, times.astype(float), negative, times.astype(float))
    repeated = fit_logistic(
        np.repeat(positive, times, axis=0), np.ones(times.sum()), np.repeat(negative, times, axis=0)
    )
    probe = rng.normal(size=(20, 2))
    np.testing.assert_allclose(weighted.log_odds(probe), repeated.log_odds(probe), atol=1e-6)


def test_rows_without_weight_do_not_count() -> None:
    rng = np.random.default_rng(3)
    positive, negative = rng.normal(1, 1, (300, 1)), rng.normal(-1, 1, (300, 1))
    misleading = np.full((300, 1), -3.0)
    clean = fit_logistic(positive, np.ones(300), negative)
    with_them = fit_logistic(np.r_[positive, misleading], np.r_[np.ones(300), np.zeros(300)], negative)
    probe = np.linspace(-2, 2, 9)[:, None]
    np.testing.assert_allclose(with_them.log_odds(probe), clean.log_odds(probe), atol=1e-6)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_units_of_the_features_do_not_matter(scale) -> None:
    rng = np.random.default_rng(4)
    positive, negative = rng.normal(1, 1, (500, 2)), rng.normal(0, 1, (500, 2))
    units = np.array([scale, 1.0])
    one = fit_logistic(positive, np.ones(500), negative)
    other = fit_logistic(positive * units, np.ones(500), negative * units)
    np.testing.assert_allclose(other.log_odds(positive * units), one.log_odds(positive), atol=1e-3)


def test_classes_far_apart_end_in_finite_odds() -> None:
    positive, negative = np.full((50, 1), 9.0), np.full((50, 1), -9.0)
    positive += np.linspace(0, 1, 50)[:, None]
    negative += np.linspace(0, 1, 50)[:, None]
    model = fit_logistic(positive, np.ones(50), negative)
    assert np.isfinite(model.coefficients).all()
    assert model.log_odds(positive).min() > 3
    assert model.log_odds(negative).max() < -3
    assert abs(model.log_odds(np.array([[1e9]]))[0]) < np.inf


def test_a_feature_that_is_always_the_same_says_nothing() -> None:
    rng = np.random.default_rng(5)
    positive, negative = rng.normal(1, 1, (400, 1)), rng.normal(-1, 1, (400, 1))
    constant = np.full((400, 1), 0.3)
    one = fit_logistic(positive, np.ones(400), negative)
    two = fit_logistic(np.hstack([positive, constant]), np.ones(400), np.hstack([negative, constant]))
    np.testing.assert_allclose(two.log_odds(np.hstack([positive, constant])), one.log_odds(positive), atol=1e-6)


def test_sigmoid() -> None:
    assert sigmoid(np.array([0.0, np.log(3)])) == pytest.approx([0.5, 0.75])
    ends = sigmoid(np.array([-np.inf, -1e9, 1e9, np.inf]))
    assert (np.diff(ends[[0, 3]]) > 0).all()
    assert ends[0] == ends[1] == pytest.approx(np.exp(-LARGEST_LOGIT))
    assert ends[0] > 0
