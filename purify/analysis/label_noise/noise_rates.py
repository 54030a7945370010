"""Share of wrong labels by the number of images of a label, and in each label, by empirical Bayes fits.

In a set from the web a wrong image lands anywhere, so that small labels have a larger share of them.
"""

from __future__ import annotations

import math

import numpy as np

from purify.arrays import Floats, Ids

#: Least numbers of images of the groups of labels with a noise rate of their own.
_GROUPS = np.array([1, 2, 3, 4, 6, 10, 20, 50])
#: Wrong and all images that a rate starts from, and wrong images by which a group is drawn to the rate of all.
_PRIOR_WRONG, _PRIOR_IMAGES, _DRAWN = 5.0, 100.0, 2.0
#: Candidate concentrations of the labels' noise rates around that of their group, in images.
_CONCENTRATIONS = np.array([1, 2, 3, 5, 8, 12, 20, 40, 80, 200, 1000], np.float64)
_LEAST, _MOST = 1e-6, 0.99
#: From here on Stirling's series is exact to the last digits; smaller arguments are shifted up.
_STIRLING_FROM = 10
#: Its coefficients B(2k) / (2k (2k - 1)), k = 1, 2, ...
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)


def rates_by_size(p_wrong: Floats, label_index: Ids, sizes: Ids) -> Floats:
    """Noise rate [C] of labels of this size, from the probability ``p_wrong[N]`` of each image.

    Labels of one image say nothing of their own, so they take the rate of labels of two.
    """
    group = np.searchsorted(_GROUPS, np.maximum(sizes, 2), side="right") - 1
    known = sizes[label_index] > 1
    groups = group[label_index][known]
    wrong = np.bincount(groups, weights=p_wrong[known], minlength=len(_GROUPS))
    images = np.bincount(groups, minlength=len(_GROUPS))
    of_all = (wrong.sum() + _PRIOR_WRONG) / (images.sum() + _PRIOR_IMAGES)
    rates = (wrong + _DRAWN) / (images + _DRAWN / of_all)
    return np.clip(rates, _LEAST, _MOST)[group]


def rates_of_images(p_wrong: Floats, label_index: Ids, by_size: Floats) -> Floats:
    """Noise rate [N] of each image's label, by its other images.

    The labels' rates are beta-distributed around ``by_size[C]``, with a concentration fitted by maximum likelihood
    (beta-binomial): small labels rely on all others, large ones on themselves.
    """
    n = np.bincount(label_index, minlength=len(by_size)).astype(np.float64)
    k = np.bincount(label_index, weights=p_wrong, minlength=len(by_size)).astype(np.float64)
    several = n > 1
    concentration = _concentration(by_size[several], k[several], n[several])
    others = k[label_index] - p_wrong + concentration * by_size[label_index]
    return np.clip(others / (n[label_index] - 1 + concentration), _LEAST, _MOST)


def _concentration(mean: Floats, k: Floats, n: Floats) -> float:
    c = _CONCENTRATIONS[:, None]
    ratios = _log_beta(mean * c + k, (1 - mean) * c + n - k) - _log_beta(mean * c, (1 - mean) * c)
    return float(_CONCENTRATIONS[int(np.argmax(ratios.sum(axis=1)))])


def _log_beta(a: Floats, b: Floats) -> Floats:
    return log_gamma(a) + log_gamma(b) - log_gamma(a + b)


def log_gamma(x: Floats) -> Floats:
    """Logarithm of the gamma function of positive numbers."""
    small = x < _STIRLING_FROM
    steps = math.prod(x + k for k in range(_STIRLING_FROM))
    shifted = np.where(small, x + _STIRLING_FROM, x)
    series = sum(c / shifted ** (2 * k + 1) for k, c in enumerate(_STIRLING))
    stirling = (shifted - 0.5) * np.log(shifted) - shifted + 0.5 * math.log(2 * math.pi) + series
    return np.asarray(stirling - np.where(small, np.log(steps), 0))
