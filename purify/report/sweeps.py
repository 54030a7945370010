"""Removals of each rule at many settings, counted from the verdicts alone, without training or embedding again.

Arrays in, dataclasses out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from purify.analysis.rules.removal import LEAST_REMOVED, expected_precision
from purify.arrays import Floats, Ids, Mask

_ANGLE_STEP = 0.5
#: Wanted precisions: coarse at the low end, fine near 1.
PRECISIONS: Floats = np.round(
    np.concatenate([np.arange(0.5, 0.9, 0.05), np.arange(0.9, 0.99, 0.01), np.arange(0.99, 0.9995, 0.001)]), 3
)


@dataclass(frozen=True)
class Truth:
    """Truth of N labels: ``wrong`` where it is ``known``."""

    wrong: Mask
    known: Mask


@dataclass(frozen=True)
class Sweep:
    """Removals of a rule at T settings `at` (degrees, or wanted precisions); all arrays are [T].

    `removed` are the images that would lose their label, `expected_wrong` the expected number of wrong ones among them
    (None without probabilities), `precision` the share of the removed that is wrong in truth and `recall` the share of
    the wrong that is removed: NaN where nothing is removed or nothing wrong, None where the truth is not known.
    """

    at: Floats
    removed: Ids
    expected_wrong: Floats | None
    precision: Floats | None
    recall: Floats | None


def angle_settings(angles: Floats) -> Floats:
    """Thresholds in degrees that cover ``angles[N]``, 75 included, in steps of half a degree."""
    finite = angles[np.isfinite(angles)]
    low = min(60.0, np.floor(finite.min(initial=60.0)))
    high = max(90.0, np.ceil(finite.max(initial=90.0)))
    return np.arange(low, high + _ANGLE_STEP, _ANGLE_STEP)


def sweep_official(angle_dominant: Floats, at: Floats, *, p_clean: Floats | None, truth: Truth | None) -> Sweep:
    """Rule `official` at the thresholds `at`: images at or beyond the angle are removed."""
    return _sweep(angle_dominant, at, at, p_clean, truth)


def sweep_paper(
    angle_dominant: Floats, at_dominant: Mask, at: Floats, *, p_clean: Floats | None, truth: Truth | None
) -> Sweep:
    """Rule `paper`: like `official`, and images nearest to another sub-center are removed at every threshold."""
    return _sweep(np.where(at_dominant, angle_dominant, np.inf), at, at, p_clean, truth)


def sweep_precision(p_clean: Floats, always: Mask, *, truth: Truth | None) -> Sweep:
    """Rule `calibrated` at the `PRECISIONS` that the data can support.

    Images in the mask ``always[N]`` are removed at any precision, as the second person of a mixed label.
    """
    ordered = np.sort(p_clean)
    expected = expected_precision(ordered)
    counts = np.array([(expected >= wanted).sum() for wanted in PRECISIONS], np.int64)
    supported = counts >= LEAST_REMOVED
    at, counts = PRECISIONS[supported], counts[supported]
    values = np.where(always, np.inf, -p_clean)
    return _sweep(values, -ordered[counts - 1], at, p_clean, truth)


def _sweep(values: Floats, cutoffs: Floats, at: Floats, p_clean: Floats | None, truth: Truth | None) -> Sweep:
    """Count removals, ``values[N] >= cutoffs[T]``; NaN is kept."""
    values = np.where(np.isnan(values), -np.inf, values)
    order = np.argsort(values, kind="stable")
    first = np.searchsorted(values[order], cutoffs, side="left")
    removed = (len(values) - first).astype(np.int64)
    expected = None if p_clean is None else _from(first, np.nan_to_num(1 - p_clean[order]))
    if truth is None:
        return Sweep(at, removed, expected, None, None)
    caught = _from(first, (truth.wrong & truth.known)[order].astype(np.float64))
    known = _from(first, truth.known[order].astype(np.float64))
    wrong = float((truth.wrong & truth.known).sum())
    return Sweep(at, removed, expected, _ratio(caught, known), _ratio(caught, np.full_like(caught, wrong)))


def _from(first: Ids, weights: Floats) -> Floats:
    """Sums [T] of ``weights[first:]``."""
    return np.r_[np.cumsum(weights[::-1])[::-1], 0.0][first]


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)
