"""One identity under several labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from purify.analysis.class_rows import ClassRows
from purify.analysis.identities.null_thresholds import NullThresholds
from purify.analysis.identities.prototypes import Prototypes
from purify.analysis.search import unit
from purify.arrays import Floats, Ids, Mask

_SHOWN = (3, 2)
#: Probability of a merge of two labels with several images each, as alike as most parts of a label, or as few of them.
CERTAIN, DOUBTFUL = 0.98, 0.5


@dataclass(frozen=True)
class LabelMerge:
    """One person under two labels; `cosine` is between the centers of their dominant groups.

    `into` has more images of the person (trusted ones count twice). Counts between the same powers of two are a tie,
    won by the lower class number, so that one more image doesn't swap the two. `into` may be merged into a third label.
    `evidence` lists rows: up to 3 of `label` most like `into`, then up to 2 of `into` most like `label`. `p_same` is
    the probability that it is one person.
    """

    label: int
    into: int
    cosine: float
    evidence: Ids
    p_same: float = CERTAIN


def find_merges(
    rows: ClassRows,
    found: npt.NDArray[np.int32],
    mixed: Mask,
    prototypes: Prototypes,
    pictures: Ids,
    thresholds: NullThresholds,
) -> tuple[LabelMerge, ...]:
    """Merge every label into the largest one of the same person, by how alike parts of a label of their sizes are.

    Pairs below ``thresholds.surely_same`` are doubtful, and give way to others. Of labels without a coherent person the
    similarity says nothing: relative to their own cohesion, which is about 0, any other label is alike.
    """
    nearest, similarity = prototypes.alike(prototypes.groups)
    whole = ~mixed[prototypes.labels] & (prototypes.groups.cohesion >= thresholds.cohesion)
    itself = nearest == np.arange(len(whole))[:, None]
    judged = whole[:, None] & whole[nearest] & ~itself
    size = prototypes.groups.size
    smaller = np.minimum(size[:, None], size[nearest])
    sure = set(_pairs(judged & (similarity >= thresholds.surely_same(smaller)), nearest))
    rank = size_rank(rows, found, prototypes.labels)
    best: dict[int, tuple[bool, tuple[float, int], int]] = {}
    for pair in _pairs(judged & (similarity >= thresholds.possibly_same(smaller)), nearest):
        small, large = sorted(pair, key=lambda i: rank[i])
        if not prototypes.by_chance(int(size[small]), int(pictures[small]), np.array([large])):
            candidate = pair in sure, rank[large], large
            best[small] = max(candidate, best.get(small, candidate))
    labels = prototypes.labels.tolist()
    return tuple(
        label_merge(rows, found, labels[small], labels[large], CERTAIN if is_sure else DOUBTFUL)
        for small, (is_sure, _, large) in sorted(best.items())
    )


def _pairs(chosen: Mask, nearest: Ids) -> list[tuple[int, int]]:
    """Unordered pairs of groups with those ``nearest[G, R]`` to them, where ``chosen[G, R]``, each once."""
    at, column = np.nonzero(chosen)
    return [(a, b) for a, b in np.unique(np.sort([at, nearest[at, column]], axis=0), axis=1).T.tolist()]


def size_rank(rows: ClassRows, found: npt.NDArray[np.int32], labels: Ids) -> list[tuple[float, int]]:
    """Sort key of the `labels`, ascending by the size of their dominant groups; a label is merged into a higher one."""
    weight = np.array([weight_of(rows.p_clean[dominant_rows(rows, found, label)]) for label in labels.tolist()])
    # In powers of two: of two labels of about equal size, every run keeps the first.
    scale = np.floor(np.log2(np.maximum(weight, 1)))
    return list(zip(scale.tolist(), (-labels).tolist(), strict=True))


def label_merge(
    rows: ClassRows, found: npt.NDArray[np.int32], label: int, into: int, p_same: float = CERTAIN
) -> LabelMerge:
    """The merge of `label` into `into`, with its evidence."""
    members = [dominant_rows(rows, found, own) for own in (label, into)]
    centers = unit(np.stack([rows.vectors[own].mean(axis=0) for own in members]))
    shown = [
        own[np.argsort(-(rows.vectors[own] @ center), kind="stable")[:most]]
        for own, center, most in zip(members, centers[::-1], _SHOWN, strict=True)
    ]
    return LabelMerge(label, into, float(centers[0] @ centers[1]), np.concatenate(shown), p_same)


def dominant_rows(rows: ClassRows, found: npt.NDArray[np.int32], label: int) -> Ids:
    """Rows of the dominant group of a class."""
    members = rows.members(label)
    dominant = members[found[members] == 0]
    return dominant if len(dominant) else members


def weight_of(p_clean: Floats) -> float:
    """Number of images, counting trusted ones twice."""
    return len(p_clean) + float(p_clean.sum())
