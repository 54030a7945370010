"""One picture under two labels: which of the two is right, by what the other images of each label say."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from purify.analysis.identities.merge import LabelMerge
from purify.analysis.identities.same_picture import SamePictures
from purify.analysis.rules.removal import RECOGNIZED
from purify.analysis.rules.rule import Outcome
from purify.arrays import Floats, Ids
from purify.tables.schema import Decision, Reason

#: Minimum probability of a merge for its two labels not to contradict each other.
_TWO_NAMES = 0.9
_TINY = 1e-9


@dataclass(frozen=True)
class Settled:
    """Probabilities [N] after the conflicts, the likeliest other label, and the row [N] of the same picture or -1."""

    p_clean: Floats
    p_other: Floats
    other: Ids
    twin: Ids


def settle(
    same: SamePictures,
    merges: tuple[LabelMerge, ...],
    label_index: Ids,
    p_clean: Floats,
    p_other: Floats,
    other: Ids,
    *,
    min_images: int,
) -> Settled:
    """Lower the probabilities of labels that contradict each other.

    Of two labels of one person at most one is right, unless they are two names of one person, which a probable one of
    the `merges` tells. Where nothing tells which, each is about as likely wrong as right. Of an image in several
    conflicts the surest counts. A label with fewer than `min_images` images has too little to say to replace another.
    """
    rows, twins, p_same = same.both_ways()
    rows, once = np.unique(rows, return_index=True)
    twins, p_same = twins[once], p_same[once]
    conflict = p_same * (1 - _two_names(merges, label_index[rows], label_index[twins]))
    own, theirs = p_clean[rows], p_clean[twins]
    only_own, only_theirs, neither = own * (1 - theirs), theirs * (1 - own), (1 - own) * (1 - theirs)
    total = np.maximum(only_own + only_theirs + neither, _TINY)
    settled = Settled(p_clean.copy(), p_other.copy(), other.copy(), np.full(len(p_clean), -1, np.int64))
    settled.p_clean[rows] = own * (1 - conflict) + conflict * np.minimum(own, only_own / total)
    p_theirs = conflict * only_theirs / total
    known = np.bincount(label_index)[label_index[twins]] >= min_images
    better = known & (p_theirs > settled.p_other[rows])
    settled.p_other[rows[better]] = p_theirs[better]
    settled.other[rows[better]] = label_index[twins[better]]
    settled.twin[rows] = twins
    return settled


def explain_conflicts(outcome: Outcome, settled: Settled) -> Outcome:
    """Set the reason of images whose picture stands under another label too; those in doubt are left to a person."""
    conflict = settled.twin >= 0
    doubtful = conflict & (outcome.decision == Decision.KEEP.value) & (settled.p_clean < RECOGNIZED)
    return replace(
        outcome,
        decision=np.where(doubtful, Decision.REVIEW.value, outcome.decision),
        reason=np.where(conflict, Reason.SAME_PICTURE.value, outcome.reason),
        evidence=settled.twin,
    )


def _two_names(merges: tuple[LabelMerge, ...], label: Ids, other: Ids) -> Floats:
    """Probability [n] that ``label[n]`` and ``other[n]`` are names of one person; 0 if not probable."""
    probable = [merge for merge in merges if merge.p_same >= _TWO_NAMES]
    known = {tuple(sorted((merge.label, merge.into))): merge.p_same for merge in probable}
    ends = np.sort([label, other], axis=0).T.tolist()
    return np.array([known.get((a, b), 0.0) for a, b in ends], np.float64).reshape(len(label))
