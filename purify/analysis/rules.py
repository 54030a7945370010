"""Decision rules by name.

A rule is a pure function from the evidence to a decision and a reason for every sample. Its name and version
stand in the ``rule`` column of the verdicts, so that a verdict can be traced to what made it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from purify.arrays import Mask
from purify.errors import InputError
from purify.tables.schema import Reason


@dataclass(frozen=True)
class Evidence:
    """What a rule may look at, a value a sample.

    Attributes
    ----------
    subcenter, dominant
        The nearest own sub-center, and the own class's dominant one.
    cos_dominant
        Cosine to the dominant sub-center.
    cos_other
        Cosine to the nearest dominant sub-center of another class; NaN where there is none.
    """

    subcenter: npt.NDArray[np.int32]
    dominant: npt.NDArray[np.int32]
    cos_dominant: npt.NDArray[np.floating]
    cos_other: npt.NDArray[np.floating]


@dataclass(frozen=True)
class Judgment:
    """``keep[N]`` and the reason [N] of each decision."""

    keep: Mask
    reason: npt.NDArray[np.object_]


@dataclass(frozen=True)
class Rule:
    """A named rule; `decide` takes the evidence and the threshold in degrees."""

    name: str
    version: int
    decide: Callable[[Evidence, float], Judgment]

    @property
    def identifier(self) -> str:
        """What the ``rule`` column says, such as ``official/1``."""
        return f"{self.name}/{self.version}"


def official(evidence: Evidence, threshold: float) -> Judgment:
    """Keep what is nearer to the dominant sub-center than `threshold` degrees.

    What InsightFace's ``drop.py`` does: the cosine must be larger than that of the threshold, so an image at
    just this angle is dropped; which sub-center is the nearest doesn't matter.
    """
    near = _inside(evidence.cos_dominant, threshold)
    return Judgment(near, np.where(near, Reason.NEAR_DOMINANT.value, _why_far(evidence, threshold)))


def paper(evidence: Evidence, threshold: float) -> Judgment:
    """Keep what `official` keeps and whose nearest sub-center is the dominant one.

    What the text says (ArcFace, TPAMI, section 3.2): non-dominant sub-centers are dropped with their images.
    """
    judgment = official(evidence, threshold)
    elsewhere = judgment.keep & (evidence.subcenter != evidence.dominant)
    reason = np.where(elsewhere, Reason.NON_DOMINANT_SUBCENTER.value, judgment.reason)
    return Judgment(judgment.keep & ~elsewhere, reason)


#: The rules there are; a new one is added here.
RULES = {rule.name: rule for rule in (Rule("official", 1, official), Rule("paper", 1, paper))}


def get_rule(name: str) -> Rule:
    """Rule called `name`; InputError if there is none."""
    try:
        return RULES[name]
    except KeyError:
        raise InputError(f"there is no rule {name!r}; there are {', '.join(RULES)}") from None


def _inside(cosines: npt.NDArray[np.floating], threshold: float) -> Mask:
    """Whether the angle is less than `threshold` degrees, strictly."""
    return cosines.astype(np.float64) > math.cos(math.radians(threshold))


def _why_far(evidence: Evidence, threshold: float) -> npt.NDArray[np.object_]:
    """Of what is dropped for its angle: whether another class has it within the threshold, and nearer."""
    with np.errstate(invalid="ignore"):
        taken = _inside(evidence.cos_other, threshold) & (evidence.cos_other > evidence.cos_dominant)
    return np.where(taken, Reason.CLOSER_TO_OTHER_LABEL.value, Reason.FAR_FROM_DOMINANT.value)
