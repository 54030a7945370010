"""Rule `official`: the fixed angle of InsightFace's ``drop.py``."""

from __future__ import annotations

import numpy as np

from purify.analysis.rules.angle_rule import AngleRule, Judgment, inside, reason_of_distance
from purify.analysis.rules.rule import AngleEvidence
from purify.tables.schema import Reason


def decide_official(evidence: AngleEvidence, threshold: float) -> Judgment:
    """Keep images nearer to the dominant sub-center than `threshold` degrees.

    As in InsightFace's ``drop.py`` the cosine must be larger than that of the threshold, so an image at just this
    angle is dropped; the nearest sub-center doesn't matter.
    """
    near = inside(evidence.cos_dominant, threshold)
    return Judgment(near, np.where(near, Reason.NEAR_DOMINANT.value, reason_of_distance(evidence, threshold)))


OFFICIAL = AngleRule("official", 1, decide_official)
