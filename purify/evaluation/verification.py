"""Verification figures of scored pairs, as the field computes them.

Pure functions of ``scores[P]`` (cosines; larger: more similar), ``same[P]`` and ``fold[P]``, with both kinds of pair.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]
Same = npt.NDArray[np.bool_]
Folds = npt.NDArray[np.int64]

#: Thresholds on the squared distance of unit vectors, 2 - 2 cos: the grid 0, 0.01, ..., 3.99 of the field's scripts.
DISTANCE_GRID = np.arange(0, 4, 0.01)
#: False accept rates to report, given enough different pairs.
FARS = (0.1, 0.01, 0.001)


def auc(scores: Scores, same: Same) -> float:
    """Area under the ROC: the probability that a same pair scores above a different one; ties count half."""
    positive, negative = scores[same], np.sort(scores[~same])
    below = np.searchsorted(negative, positive, side="left") + np.searchsorted(negative, positive, side="right")
    return float(below.sum() / (2 * len(positive) * len(negative)))


def is_measurable(far: float, same: Same) -> bool:
    """Whether `far` amounts to at least one different pair; finer rates can't be measured."""
    return bool(allowed_accepts(far, float((~same).sum())) >= 1)


def tar_at_far(scores: Scores, same: Same, far: float) -> float | None:
    """Share of same pairs above the smallest threshold exceeded by at most `far` of the different pairs.

    Strict: unlike the nearest point of a sampled ROC, the threshold never accepts more than `far`, and of tied
    different pairs it accepts all or none. None where `far` is not `is_measurable`.
    """
    if not is_measurable(far, same):
        return None
    negative = np.sort(scores[~same])[::-1]
    allowed = int(allowed_accepts(far, len(negative)))
    threshold = negative[allowed] if allowed < len(negative) else -np.inf
    return float((scores[same] > threshold).mean())


def allowed_accepts(far: float, different: float | npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Number of `different` pairs that amounts to `far`, rounded down."""
    return np.floor(far * np.asarray(different) + 1e-9).astype(np.int64)  # 0.1 x 30 is a little less than 3


def accepts(scores: Scores) -> npt.NDArray[np.bool_]:
    """Acceptance ``bool[P, T]`` of each pair at each threshold of `DISTANCE_GRID` on the squared distance."""
    return (2 - 2 * scores)[:, None] < DISTANCE_GRID


def fold_accuracy(scores: Scores, same: Same, fold: Folds) -> Scores:
    """Accuracy [F] of each fold, at the best threshold of `DISTANCE_GRID` on the other folds.

    The protocol of LFW's View 2 as in the field's scripts: ties go to the smallest distance.
    """
    right = accepts(scores) == same[:, None]
    result = []
    for held_out in np.unique(fold):
        inside = fold == held_out
        best = right[~inside].sum(axis=0).argmax()
        result.append(right[inside, best].mean())
    return np.array(result)


def roc_points(scores: Scores, same: Same, *, points: int = 100) -> list[tuple[float, float]]:
    """At most `points` points (FAR, `tar_at_far`), evenly spaced in log FAR from the finest one to 1."""
    different = int((~same).sum())
    allowed = np.unique(np.geomspace(1, different, points).round().astype(np.int64))
    negative = np.append(np.sort(scores[~same])[::-1], -np.inf)
    positive = np.sort(scores[same])
    tars = 1 - np.searchsorted(positive, negative[allowed], side="right") / len(positive)
    return [(float(far), float(tar)) for far, tar in zip(allowed / different, tars, strict=True)]
