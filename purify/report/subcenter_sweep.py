"""The same embeddings with other numbers K of sub-centers (ArcFace, TPAMI, section 4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from purify.analysis.projection import fit_subcenters
from purify.analysis.rules.angle_rules import OFFICIAL, PAPER
from purify.analysis.rules.rule import AngleEvidence
from purify.analysis.subcenters import SubcenterSpace
from purify.arrays import Ids, Vectors
from purify.evaluation.detection import average_precision


@dataclass(frozen=True)
class SubcenterCount:
    """A data set seen with K sub-centers.

    Attributes
    ----------
    subcenters
        K.
    dominant_share
        Share of images nearest to their label's dominant sub-center.
    removed_official, removed_paper
        Shares of images removed by the rules.
    average_precision
        Of the ranking by the angle to the dominant sub-center, in finding wrong labels; None without truth.
    """

    subcenters: int
    dominant_share: float
    removed_official: float
    removed_paper: float
    average_precision: float | None


def sweep_subcenters(
    embeddings: Vectors,
    label_index: Ids,
    counts: Sequence[int],
    *,
    threshold: float = 75.0,
    wrong: npt.NDArray[np.bool_] | None = None,
    seed: int = 0,
) -> list[SubcenterCount]:
    """Fit a head for each number of sub-centers and judge the images by it.

    Parameters
    ----------
    embeddings
        Finite ``[N, D]`` of any extractor.
    label_index
        [N]: label of each, from 0 on without gaps.
    counts
        Numbers K.
    threshold
        Of the rules, in degrees.
    wrong
        [N]: whether the label is wrong in truth.
    seed
        Of the fits.
    """
    return [_judge(embeddings, label_index, k, threshold, wrong, seed) for k in counts]


def _judge(
    embeddings: Vectors, label_index: Ids, k: int, threshold: float, wrong: npt.NDArray[np.bool_] | None, seed: int
) -> SubcenterCount:
    classes = int(label_index.max()) + 1
    vectors, centers = fit_subcenters(embeddings, label_index, classes=classes, subcenters=k, seed=seed)
    evidence = AngleEvidence.of(SubcenterSpace.of(vectors, centers), label_index)
    removed = {rule.name: 1 - float(rule.decide(evidence, threshold).keep.mean()) for rule in (OFFICIAL, PAPER)}
    ranked = None if wrong is None else average_precision(-evidence.cos_dominant.astype(np.float64), wrong)
    share = float((evidence.subcenter == evidence.dominant).mean())
    return SubcenterCount(k, share, removed["official"], removed["paper"], ranked)
