"""Logistic regression with weights and a small ridge, by Newton's method."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from purify.arrays import Floats

_RIDGE = 1.0
_LARGEST_STEP = 20.0
#: Log odds beyond this are as good as certain.
LARGEST_LOGIT = 60.0
#: Features are clipped at this many standard deviations from their mean.
_FARTHEST = 6.0
_MOST_ITERATIONS = 60
_CONVERGED = 1e-6


@dataclass(frozen=True)
class Logistic:
    """Standardization and coefficients; the last coefficient is the intercept."""

    mean: Floats
    scale: Floats
    coefficients: Floats

    def log_odds(self, features: Floats) -> Floats:
        """``features[N, F]`` -> [N]."""
        return _design(features, self.mean, self.scale) @ self.coefficients


def fit_logistic(
    positive: Floats, weights: Floats, negative: Floats, negative_weights: Floats | None = None
) -> Logistic:
    """Fit log odds of the weighted ``positive[P, F]`` against ``negative[M, F]``, scaled to the same total weight.

    They are then a linear fit to the logarithm of the ratio of the two densities.
    """
    features = np.concatenate([positive, negative])
    shares = np.ones(len(negative)) if negative_weights is None else negative_weights
    sample = np.concatenate([weights, shares * (weights.sum() / shares.sum())])
    target = np.concatenate([np.ones(len(positive)), np.zeros(len(negative))])
    mean = np.average(features, axis=0, weights=sample)
    spread = np.sqrt(np.average((features - mean) ** 2, axis=0, weights=sample))
    scale = np.where(spread > np.finfo(np.float32).eps, spread, 1)
    design = _design(features, mean, scale)
    ridge = np.full(design.shape[1], _RIDGE)
    ridge[-1] = np.finfo(np.float32).eps
    coefficients = np.zeros(design.shape[1])
    for _ in range(_MOST_ITERATIONS):
        predicted = sigmoid(design @ coefficients)
        gradient = design.T @ (sample * (predicted - target)) + ridge * coefficients
        curvature = (design * (sample * predicted * (1 - predicted))[:, None]).T @ design + np.diag(ridge)
        step = np.linalg.solve(curvature, gradient)
        reach = np.abs(design @ step).max()
        coefficients -= step * min(1.0, _LARGEST_STEP / max(reach, np.finfo(np.float64).tiny))
        if np.abs(step).max() < _CONVERGED:
            break
    return Logistic(mean, scale, coefficients)


def sigmoid(log_odds: Floats) -> Floats:
    """Log odds -> probabilities, never quite 0 or 1."""
    return 1 / (1 + np.exp(-np.clip(log_odds, -LARGEST_LOGIT, LARGEST_LOGIT)))


def _design(features: Floats, mean: Floats, scale: Floats) -> Floats:
    standardized = np.clip((features - mean) / scale, -_FARTHEST, _FARTHEST)
    return np.hstack([standardized, np.ones((len(features), 1))])
