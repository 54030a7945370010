"""Bootstrap intervals over verification pairs; models share the resamples, so differences are paired."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

LEVEL = 0.95


def resample_weights(same: npt.NDArray[np.bool_], *, samples: int, seed: int) -> npt.NDArray[np.float64]:
    """Weights [samples, P]: how often each pair is drawn; same and different pairs are drawn apart."""
    rng = np.random.default_rng(seed)
    weights = np.zeros((samples, len(same)))
    for kind in (same, ~same):
        rows = np.flatnonzero(kind)
        weights[:, rows] = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=samples)
    return weights


def weighted_auc(
    scores: npt.NDArray[np.float64], same: npt.NDArray[np.bool_], weights: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """AUC of each row of ``weights[B, P]``; ties count half."""
    _, group = np.unique(scores, return_inverse=True)
    order = np.argsort(group, kind="stable")
    group, same, weights = group[order], same[order], weights[:, order]
    starts = np.flatnonzero(np.r_[True, np.diff(group) > 0])
    positive = np.add.reduceat(weights * same, starts, axis=1)
    negative = np.add.reduceat(weights * ~same, starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative / 2
    return (positive * below).sum(axis=1) / (positive.sum(axis=1) * negative.sum(axis=1))


def weighted_tar(
    scores: npt.NDArray[np.float64], same: npt.NDArray[np.bool_], weights: npt.NDArray[np.float64], far: float
) -> npt.NDArray[np.float64]:
    """TAR at `far` of each row of ``weights[B, P]``, by the strict threshold of `tar_at_far`."""
    negative = np.flatnonzero(~same)[np.argsort(-scores[~same], kind="stable")]
    accepted = np.cumsum(weights[:, negative], axis=1)
    allowed = np.floor(far * accepted[:, -1:] + 1e-9)
    first_refused = np.minimum((accepted <= allowed).sum(axis=1), len(negative) - 1)
    threshold = np.where((accepted <= allowed).all(axis=1), -np.inf, scores[negative][first_refused])
    passing = scores[same][None, :] > threshold[:, None]
    return (weights[:, same] * passing).sum(axis=1) / weights[:, same].sum(axis=1)


def interval(values: npt.NDArray[np.float64]) -> list[float]:
    """Percentile interval at `LEVEL` of bootstrap `values`."""
    tail = (1 - LEVEL) / 2
    return [float(v) for v in np.quantile(values, [tail, 1 - tail])]
