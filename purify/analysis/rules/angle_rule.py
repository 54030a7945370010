"""Rules that know a fixed angle to the dominant sub-center."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from purify.analysis.rules.rule import AngleEvidence, Outcome, RuleContext, identifier
from purify.analysis.scores import clean_score, degrees, other_score
from purify.arrays import Mask
from purify.tables.schema import Decision, Reason


@dataclass(frozen=True)
class Judgment:
    """``keep[N]`` and the reason [N] of each decision."""

    keep: Mask
    reason: npt.NDArray[np.object_]


@dataclass(frozen=True)
class AngleRule:
    """A named rule; `decide` takes the evidence and the threshold in degrees."""

    name: str
    version: int
    decide: Callable[[AngleEvidence, float], Judgment]
    probabilities: ClassVar[bool] = False

    def judge(self, context: RuleContext) -> Outcome:
        """Judge by the angles to the sub-centers, and score them."""
        angles, threshold = context.angles, context.config.threshold
        judgment = self.decide(angles, threshold)
        clean = clean_score(degrees(angles.cos_dominant), threshold)
        return Outcome(
            rule=identifier(self),
            decision=np.where(judgment.keep, Decision.KEEP.value, Decision.DROP.value).astype(object),
            reason=judgment.reason,
            new_label=np.full(len(clean), -1, np.int64),
            other=angles.other,
            p_clean=clean,
            p_other=other_score(clean, degrees(angles.cos_other), threshold),
        )


def inside(cosines: npt.NDArray[np.floating], threshold: float) -> Mask:
    """Whether the angle is less than `threshold` degrees, strictly."""
    return cosines.astype(np.float64) > math.cos(math.radians(threshold))


def reason_of_distance(evidence: AngleEvidence, threshold: float) -> npt.NDArray[np.object_]:
    """Reason of dropping for the angle: another class is nearer and within the threshold, or none is."""
    with np.errstate(invalid="ignore"):
        taken = inside(evidence.cos_other, threshold) & (evidence.cos_other > evidence.cos_dominant)
    return np.where(taken, Reason.CLOSER_TO_OTHER_LABEL.value, Reason.FAR_FROM_DOMINANT.value)
