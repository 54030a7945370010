"""SimiFeat's vote: a label is wrong if most rounds of a vote among the nearest neighbors elect another one.

Source: Zhu et al., "Detecting Corrupted Labels Without Training a Model to Predict", ICML 2022, arXiv 2110.06283.
"""

from __future__ import annotations

import numpy as np

from benchmarks.rivals import Scores
from benchmarks.vectors import LabeledVectors
from purify.analysis.nearest_images import nearest_images
from purify.analysis.neighbors import SLACK, find_neighbors
from purify.arrays import Ids, Mask
from purify.config import AnalyzeConfig

_VOTERS, _ROUNDS = 10, 21
#: The original embeds each image anew, randomly cropped, for every round; here random images abstain instead.
_PRESENT = 0.8
_SEARCHED = 2 * _VOTERS


def neighbor_vote(data: LabeledVectors, seed: int) -> Scores:
    """21 rounds of a plurality vote of the 10 nearest images; ties go to the given label, near duplicates don't vote.

    Samples are ranked by their label's share of all votes.
    """
    near_duplicate = AnalyzeConfig().near_duplicate
    nearest = nearest_images(data.vectors, data.label_index, most=_SEARCHED + SLACK)
    rows = find_neighbors(nearest, data.label_index, k=_SEARCHED, near_duplicate=near_duplicate).rows
    labels = np.where(rows >= 0, data.label_index[rows], -1)
    rng = np.random.default_rng([seed, 4])
    total = np.zeros(labels.shape, np.int64)
    own, outvoted = np.zeros(len(rows)), np.zeros(len(rows))
    for _ in range(_ROUNDS):
        present = (rng.random(len(rows)) < _PRESENT)[rows] & (labels >= 0)
        counts = _votes(labels, present & (np.cumsum(present, axis=1) <= _VOTERS))
        mine = labels == data.label_index[:, None]
        own += np.where(mine, counts, 0).max(axis=1)
        outvoted += np.where(mine, 0, counts).max(axis=1) > np.where(mine, counts, 0).max(axis=1)
        total += counts
    removed = outvoted > _ROUNDS / 2
    return Scores(own / (_ROUNDS * _VOTERS), removed, "order", _elected(labels, total, data.label_index, removed))


def _votes(labels: Ids, voting: Mask) -> Ids:
    """Votes for the label of each neighbor [N, k]."""
    same = labels[:, :, None] == labels[:, None, :]
    return (same & voting[:, None, :]).sum(axis=2)


def _elected(labels: Ids, total: Ids, given: Ids, removed: Mask) -> Ids:
    """The other label with the most votes of all rounds, where the given one is `removed`; else -1."""
    others = np.where(labels == given[:, None], -1, total)
    best = np.take_along_axis(labels, others.argmax(axis=1)[:, None], axis=1)[:, 0]
    return np.where(removed, best, -1).astype(np.int64)
