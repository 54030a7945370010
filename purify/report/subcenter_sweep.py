"""The same embeddings with different numbers K of sub-centers (ArcFace, TPAMI, section 4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from purify.analysis.rules.angle_rules import OFFICIAL, PAPER
from purify.analysis.rules.rule import AngleEvidence
from purify.analysis.subcenters import SubcenterSpace
from purify.arrays import Ids, Mask, Vectors
from purify.evaluation.detection import average_precision


@dataclass(frozen=True)
class SubcenterCount:
    """Outcome for a data set with K sub-centers, in shares of its images.

    `dominant_share` is at the labels' dominant sub-centers; `average_precision` is that of the ranking by the angle
    to them, in finding wrong labels; None without truth.
    """

    subcenters: int
    dominant_share: float
    removed_official: float
    removed_paper: float
    average_precision: float | None


def sweep_subcenters(
    embeddings: Vectors, label_index: Ids, counts: Sequence[int], *, threshold: float, wrong: Mask | None
) -> list[SubcenterCount]:
    """Fit a head for each number K of sub-centers and judge the images by it.

    `embeddings` are finite ``[N, D]`` of any extractor, ``label_index[N]`` counts from 0 without gaps, `threshold` is
    in degrees, ``wrong[N]`` are the labels wrong in truth.
    """
    return [_judge(embeddings, label_index, k, threshold, wrong) for k in counts]


def _judge(embeddings: Vectors, label_index: Ids, k: int, threshold: float, wrong: Mask | None) -> SubcenterCount:
    from purify.analysis.projection import fit_subcenters  # loads PyTorch, which a report does without

    classes = int(label_index.max()) + 1
    vectors, centers = fit_subcenters(embeddings, label_index, classes=classes, subcenters=k, seed=0)
    evidence = AngleEvidence.of(SubcenterSpace.of(vectors, centers), label_index)
    removed = {rule.name: 1 - float(rule.decide(evidence, threshold).keep.mean()) for rule in (OFFICIAL, PAPER)}
    ranked = None if wrong is None else average_precision(-evidence.cos_dominant.astype(np.float64), wrong)
    share = float((evidence.subcenter == evidence.dominant).mean())
    return SubcenterCount(k, share, removed["official"], removed["paper"], ranked)
