"""Rules `official` and `paper`: a fixed angle to the dominant sub-center."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from purify.analysis.rules.rule import AngleEvidence, Outcome, Rule, RuleContext, Words, identifier
from purify.analysis.scores import clean_score, degrees, other_score
from purify.arrays import Floats, Mask
from purify.tables.schema import Decision, Reason


@dataclass(frozen=True)
class Judgment:
    """``keep[N]`` and the reason [N] of each decision."""

    keep: Mask
    reason: Words


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
        clean = clean_score(degrees(angles.cos_dominant), threshold)
        return keep_or_drop(self, self.decide(angles, threshold), angles, clean, threshold)


def keep_or_drop(rule: Rule, judgment: Judgment, angles: AngleEvidence, p_clean: Floats, threshold: float) -> Outcome:
    """Outcome without new labels; the other label is the nearest one."""
    return Outcome(
        rule=identifier(rule),
        decision=np.where(judgment.keep, Decision.KEEP.value, Decision.DROP.value).astype(object),
        reason=judgment.reason.astype(object),
        new_label=np.full(len(p_clean), -1, np.int64),
        other=angles.other,
        p_clean=p_clean,
        p_other=other_score(p_clean, degrees(angles.cos_other), threshold),
        probabilities=rule.probabilities,
    )


def decide_official(evidence: AngleEvidence, threshold: float) -> Judgment:
    """Keep images nearer to the dominant sub-center than `threshold` degrees, as InsightFace's ``drop.py`` does.

    The cosine must be larger than that of the threshold, so an image at exactly this angle is dropped; the nearest
    sub-center doesn't matter.
    """
    near = _inside(evidence.cos_dominant, threshold)
    with np.errstate(invalid="ignore"):
        taken = _inside(evidence.cos_other, threshold) & (evidence.cos_other > evidence.cos_dominant)
    reasons = [Reason.NEAR_DOMINANT.value, Reason.CLOSER_TO_OTHER_LABEL.value]
    return Judgment(near, np.select([near, taken], reasons, Reason.FAR_FROM_DOMINANT.value))


def decide_paper(evidence: AngleEvidence, threshold: float) -> Judgment:
    """Keep what `official` keeps, unless a non-dominant sub-center is nearer.

    The paper (ArcFace, TPAMI, section 3.2) drops non-dominant sub-centers with their images.
    """
    judgment = decide_official(evidence, threshold)
    elsewhere = judgment.keep & (evidence.subcenter != evidence.dominant)
    reason = np.where(elsewhere, Reason.NON_DOMINANT_SUBCENTER.value, judgment.reason)
    return Judgment(judgment.keep & ~elsewhere, reason)


def _inside(cosines: npt.NDArray[np.floating], threshold: float) -> Mask:
    """Whether the angle is less than `threshold` degrees, strictly."""
    return cosines.astype(np.float64) > math.cos(math.radians(threshold))


OFFICIAL = AngleRule("official", 1, decide_official)
PAPER = AngleRule("paper", 1, decide_paper)
