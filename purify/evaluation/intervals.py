"""Bootstrap over verification pairs.

A resample is a row of weights: the number of draws of each pair. All models are measured on the same resamples, so
their differences are paired. Figures of many resamples at once are sums over weights, without copies of the pairs.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from purify.evaluation.verification import Folds, Same, Scores, accepts, allowed_accepts

Weights = npt.NDArray[np.float64]

LEVEL = 0.95
MOST_CELLS = 1 << 23


def resample_weights(same: Same, *, samples: int, seed: int) -> Iterator[Weights]:
    """Yield blocks of weights [B, P], `samples` rows in all; same and different pairs are drawn separately.

    Blocks are small enough (64 MB) for any number of pairs.
    """
    rng = np.random.default_rng(seed)
    most = max(1, MOST_CELLS // len(same))
    for start in range(0, samples, most):
        rows = min(most, samples - start)
        weights = np.zeros((rows, len(same)))
        for kind in (same, ~same):
            pairs = int(kind.sum())
            weights[:, kind] = rng.multinomial(pairs, np.full(pairs, 1 / pairs), size=rows)
        yield weights


def weighted_auc(scores: Scores, same: Same, weights: Weights) -> Scores:
    """AUC [B] for each row of ``weights[B, P]``; ties count half."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) > 0])
    ordered, same = weights[:, order], same[order]
    positive = np.add.reduceat(ordered * same, starts, axis=1)
    negative = np.add.reduceat(ordered * ~same, starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative / 2
    return (positive * below).sum(axis=1) / (positive.sum(axis=1) * negative.sum(axis=1))


def weighted_tar(scores: Scores, same: Same, weights: Weights, far: float) -> Scores:
    """TAR [B] at `far` for each row of ``weights[B, P]``, by the strict threshold of `tar_at_far`."""
    negative = np.flatnonzero(~same)[np.argsort(-scores[~same], kind="stable")]
    accepted = np.cumsum(weights[:, negative], axis=1)
    inside = accepted <= allowed_accepts(far, accepted[:, -1:])
    first_refused = np.minimum(inside.sum(axis=1), len(negative) - 1)
    threshold = np.where(inside.all(axis=1), -np.inf, scores[negative][first_refused])
    passing = scores[same] > threshold[:, None]
    return (weights[:, same] * passing).sum(axis=1) / weights[:, same].sum(axis=1)


def weighted_accuracy(scores: Scores, same: Same, fold: Folds, weights: Weights) -> Scores:
    """Mean `fold_accuracy` [B] for each row of ``weights[B, P]``; folds without a drawn pair are left out."""
    right = accepts(scores) == same[:, None]
    drawn, hits = [], []
    for value in np.unique(fold):
        inside = fold == value
        drawn.append(weights[:, inside].sum(axis=1))
        # Counts are small whole numbers: float32 holds them exactly, and multiplies faster.
        hits.append(weights[:, inside].astype(np.float32) @ right[inside].astype(np.float32))
    total = np.sum(hits, axis=0)
    rows = np.arange(len(weights))
    accuracy = np.full((len(drawn), len(weights)), np.nan)
    for i, (of_fold, pairs) in enumerate(zip(hits, drawn, strict=True)):
        best = (total - of_fold).argmax(axis=1)
        np.divide(of_fold[rows, best], pairs, out=accuracy[i], where=pairs > 0)
    return np.nanmean(accuracy, axis=0)


def interval(values: Scores) -> list[float]:
    """Percentile interval [low, high] at `LEVEL` of bootstrap ``values[B]``."""
    tail = (1 - LEVEL) / 2
    return [float(v) for v in np.quantile(values, [tail, 1 - tail])]
