"""The share of wrong labels in a set: an estimate with an interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from purify.arrays import Floats, Ids
from purify.evaluation.intervals import interval

_DRAWS = 2000
_MOST_CELLS = 1 << 22


@dataclass(frozen=True)
class NoiseEstimate:
    """Share of wrong labels.

    Attributes
    ----------
    share
        Mean of 1 - ``p_clean``, in [0, 1].
    interval
        95 % interval [low, high]: labels resampled, and right or wrong drawn anew for every image.
    images, labels
        Numbers of images and labels behind the estimate.
    """

    share: float
    interval: tuple[float, float]
    images: int
    labels: int

    @property
    def value(self) -> float:
        """The share."""
        return self.share

    @property
    def low(self) -> float:
        """Lower bound of the interval."""
        return self.interval[0]

    @property
    def high(self) -> float:
        """Upper bound of the interval."""
        return self.interval[1]

    def widened(self, bounds: Sequence[float] | None) -> NoiseEstimate:
        """The same with an interval that also holds `bounds`, if any: errors of the probabilities themselves."""
        return self if bounds is None else replace(self, interval=(min(self.low, *bounds), max(self.high, *bounds)))


def estimate_noise(p_clean: Floats, label_index: Ids, *, seed: int = 0) -> NoiseEstimate | None:
    """Estimate the share of wrong labels among N images; None where no image has a probability.

    Two things are uncertain. Whether an image is wrong, where its probability is neither 0 nor 1: the number of wrong
    ones among independent images has a Poisson binomial distribution, drawn here by its normal limit (mean
    sum(1 - p), variance sum(p (1 - p))). And which labels were collected: noise differs more from label to label
    than chance explains, so whole labels are drawn with replacement (a cluster bootstrap). Both enter each of the
    2,000 draws, whose percentiles are the interval. It does not cover errors of the probabilities themselves.

    ``p_clean[N]`` is in [0, 1]; images that were not judged (NaN) are left out. ``label_index[N]`` counts from 0.
    """
    judged = np.isfinite(p_clean)
    p, label = p_clean[judged], label_index[judged]
    if not len(p):
        return None
    _, label = np.unique(label, return_inverse=True)
    size, wrong, spread = (_sums(label, values) for values in (np.ones_like(p), 1 - p, p * (1 - p)))
    drawn = np.concatenate(list(_draws(size, wrong, spread, np.random.default_rng([seed, len(size)]))))
    low, high = interval(np.clip(drawn, 0, 1))
    share = float(wrong.sum() / size.sum())
    return NoiseEstimate(share, (min(low, share), max(high, share)), len(p), len(size))


def _sums(label: Ids, values: Floats) -> Floats:
    return np.bincount(label, weights=values).astype(np.float64)


def _draws(size: Floats, wrong: Floats, spread: Floats, rng: np.random.Generator) -> list[Floats]:
    """Shares of wrong labels in blocks of draws, from the sums of each label."""
    labels, parts, left = len(size), [], _DRAWS
    while left > 0:
        rows = min(left, max(1, _MOST_CELLS // labels))
        times = rng.multinomial(labels, np.full(labels, 1 / labels), size=rows).astype(np.float64)
        number = times @ wrong + rng.standard_normal(rows) * np.sqrt(times @ spread)
        parts.append(number / (times @ size))
        left -= rows
    return parts
