"""Error rates of scored pairs: the ROC, the equal error rate, and the operating points of public scripts."""

from __future__ import annotations

import numpy as np

from purify.arrays import Floats
from purify.evaluation.intervals import Weights
from purify.evaluation.verification import Same, Scores

#: Rates are counts over counts: smaller bends of a ROC are rounding.
_LINE = 1e-13


def roc_steps(scores: Scores, same: Same) -> tuple[Floats, Floats]:
    """FAR and TAR [T + 1] at each of the T distinct scores, highest first, after the point (0, 0).

    A pair is accepted at or above the threshold; pairs of equal scores are accepted together.
    """
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.r_[np.diff(scores[order]) != 0, True])
    hits = np.cumsum(same[order])[last]
    taken = last + 1
    positives, negatives = int(same.sum()), int((~same).sum())
    return np.r_[0, (taken - hits) / negatives], np.r_[0, hits / positives]


def equal_error_rate(scores: Scores, same: Same) -> float:
    """The rate at which as many different pairs are accepted as same ones are refused, on the ROC's line segments."""
    return _crossing(*roc_steps(scores, same))


def weighted_eer(scores: Scores, same: Same, weights: Weights) -> Scores:
    """`equal_error_rate` [B] for each row of ``weights[B, P]``."""
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.r_[np.diff(scores[order]) != 0, True])
    hits = np.cumsum(weights[:, order] * same[order], axis=1)[:, last]
    false = np.cumsum(weights[:, order] * ~same[order], axis=1)[:, last]
    rates = zip(false / false[:, -1:], hits / hits[:, -1:], strict=True)
    return np.array([_crossing(np.r_[0, far], np.r_[0, tar]) for far, tar in rates])


def _crossing(far: Floats, tar: Floats) -> float:
    """FAR where the ROC meets the line TAR = 1 - FAR."""
    gap = far - (1 - tar)  # rises from -1 to 1
    after = int(np.argmax(gap >= 0))
    before = after - 1
    share = -gap[before] / (gap[after] - gap[before])
    return float(far[before] + share * (far[after] - far[before]))


def tar_at_nearest_far(scores: Scores, same: Same, far: float) -> float:
    """TAR at the point of the ROC whose FAR is nearest to `far`, as InsightFace's IJB script reads it.

    The point may lie beyond `far`. The script takes scikit-learn's ROC without the points inside its straight lines,
    turns it around and takes the first of the nearest points (``recognition/arcface_torch/eval_ijbc.py``).
    """
    fars, tars = roc_steps(scores, same)
    bend = np.abs(np.diff(fars[1:], 2)) + np.abs(np.diff(tars[1:], 2)) > _LINE
    kept = np.r_[True, True, bend, True] if len(fars) > 2 else np.ones(len(fars), bool)
    fars, tars = fars[kept][::-1], tars[kept][::-1]
    return float(tars[np.abs(fars - far).argmin()])
