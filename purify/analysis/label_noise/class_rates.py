"""The share of wrong labels in each class, by an empirical Bayes fit (beta-binomial)."""

from __future__ import annotations

import math

import numpy as np

from purify.arrays import Floats, Ids, Mask

#: Minimum number of labels: two to confuse and a third to compare with.
LEAST_CLASSES = 3
#: Quantile of the scores of wrong labels below which the noise share is read off.
ANCHOR = 0.9
#: Candidate concentrations of the classes' noise rates around the mean, in images.
_CONCENTRATIONS = (1, 2, 3, 5, 8, 12, 20, 40, 80, 200, 1000)
_EPSILON = 1e-6
#: From here on Stirling's series is exact to the last digits; smaller arguments are shifted up.
_STIRLING_FROM = 10
#: Its coefficients B(2k) / (2k (2k - 1)), k = 1, 2, ...
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)


def class_rates(caught: Mask, label_index: Ids, classes: int) -> tuple[Floats, float]:
    """Share of wrong labels in each class and overall, from the images `caught` at scores that only wrong labels reach.

    The classes' rates are beta-distributed around the mean, with a concentration fitted by maximum likelihood
    (beta-binomial): small classes rely on all others, large ones on themselves.
    """
    n = np.bincount(label_index, minlength=classes).astype(np.float64)
    k = np.bincount(label_index, weights=caught, minlength=classes)
    total = max(float(k.sum()), 0.5)
    mean = min(total / n.sum(), 1 - _EPSILON)
    likelihood = [
        float((_log_beta(mean * c + k, (1 - mean) * c + n - k) - _log_beta(mean * c, (1 - mean) * c)).sum())
        for c in _CONCENTRATIONS
    ]
    concentration = _CONCENTRATIONS[int(np.argmax(likelihood))]
    share = min(mean / ANCHOR, 1 - _EPSILON)
    rates = (k / ANCHOR + concentration * share) / (n + concentration)
    return np.clip(rates, _EPSILON, 0.99), share


def _log_beta(a: Floats | float, b: Floats | float) -> Floats:
    return log_gamma(np.asarray(a)) + log_gamma(np.asarray(b)) - log_gamma(np.asarray(a) + b)


def log_gamma(x: Floats) -> Floats:
    """Logarithm of the gamma function of positive numbers."""
    small = x < _STIRLING_FROM
    steps = np.prod([x + k for k in range(_STIRLING_FROM)], axis=0)
    shifted = np.where(small, x + _STIRLING_FROM, x)
    series = sum(c / shifted ** (2 * k + 1) for k, c in enumerate(_STIRLING))
    stirling = (shifted - 0.5) * np.log(shifted) - shifted + 0.5 * math.log(2 * math.pi) + series
    return np.asarray(stirling - np.where(small, np.log(steps), 0))
