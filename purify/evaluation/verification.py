"""Verification figures of scored pairs, as the field computes them.

Pure functions over ``scores[P]`` (cosines; larger: more alike), ``same[P]`` and ``fold[P]``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]
Same = npt.NDArray[np.bool_]

#: Thresholds on the squared distance of unit vectors, 2 - 2 cos: the grid that the field's scripts search.
DISTANCE_GRID = np.arange(0, 4, 0.01)
FARS = (0.1, 0.01, 0.001)


def auc(scores: Scores, same: Same) -> float:
    """Area under the ROC: the probability that a same pair scores above a different one; ties count half."""
    positive, negative = np.sort(scores[same]), np.sort(scores[~same])
    below = np.searchsorted(negative, positive, side="left") + np.searchsorted(negative, positive, side="right")
    return float(below.sum() / (2 * len(positive) * len(negative)))


def tar_at_far(scores: Scores, same: Same, far: float) -> float | None:
    """Share of same pairs accepted at the smallest threshold whose share of accepted different pairs is <= `far`.

    None where `far` is finer than one pair in all different ones: it can't be measured on them.
    """
    negative = np.sort(scores[~same])[::-1]
    allowed = int(np.floor(far * len(negative) + 1e-9))
    if allowed < 1:
        return None
    threshold = negative[allowed] if allowed < len(negative) else -np.inf
    return float((scores[same] > threshold).mean())


def fold_accuracy(scores: Scores, same: Same, fold: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Accuracy of each fold, at the threshold that is best (first of equals) on the other folds."""
    accepted = (2 - 2 * scores)[:, None] < DISTANCE_GRID[None, :]
    right = accepted == same[:, None]
    folds = np.unique(fold)
    result = np.empty(len(folds))
    for i, held_out in enumerate(folds):
        inside = fold == held_out
        best = int(right[~inside].mean(axis=0).argmax())
        result[i] = right[inside, best].mean()
    return result


def roc_points(scores: Scores, same: Same, *, points: int = 200) -> list[tuple[float, float]]:
    """(FAR, TAR) at `points` quantiles of the different pairs' scores, for a plot."""
    negative, positive = np.sort(scores[~same]), np.sort(scores[same])
    fars = np.unique(np.concatenate([np.geomspace(1 / len(negative), 1, points)]))
    thresholds = np.quantile(negative, 1 - fars, method="higher")
    tars = 1 - np.searchsorted(positive, thresholds, side="right") / len(positive)
    return [(float(f), float(t)) for f, t in zip(fars, tars, strict=True)]
