"""Rule `paper`: the fixed angle, and the dominant sub-center as the nearest one (ArcFace, TPAMI, section 3.2)."""

from __future__ import annotations

import numpy as np

from purify.analysis.rules.angle_rule import AngleRule, Judgment
from purify.analysis.rules.official import decide_official
from purify.analysis.rules.rule import AngleEvidence
from purify.tables.schema import Reason


def decide_paper(evidence: AngleEvidence, threshold: float) -> Judgment:
    """Keep what `official` keeps, unless a non-dominant sub-center is nearer.

    The text of the paper: non-dominant sub-centers are dropped with their images.
    """
    judgment = decide_official(evidence, threshold)
    elsewhere = judgment.keep & (evidence.subcenter != evidence.dominant)
    reason = np.where(elsewhere, Reason.NON_DOMINANT_SUBCENTER.value, judgment.reason)
    return Judgment(judgment.keep & ~elsewhere, reason)


PAPER = AngleRule("paper", 1, decide_paper)
