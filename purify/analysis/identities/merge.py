"""One identity under several labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from purify.analysis.class_rows import ClassRows
from purify.analysis.identities.prototypes import Prototypes
from purify.analysis.search import unit
from purify.arrays import Floats, Ids, Mask

_SHOWN = (3, 2)


@dataclass(frozen=True)
class LabelMerge:
    """One person under two labels; `cosine` is between the centers of their dominant groups.

    `into` has more images of the person (trusted ones count twice). Counts between the same powers of two are a tie,
    won by the lower class number, so that one more image doesn't swap the two. `into` may be merged into a third label.
    `evidence` lists rows: up to 3 of `label` most like `into`, then up to 2 of `into` most like `label`.
    """

    label: int
    into: int
    cosine: float
    evidence: Ids


def find_merges(
    rows: ClassRows, found: npt.NDArray[np.int32], mixed: Mask, prototypes: Prototypes, pictures: Ids, same: float
) -> tuple[LabelMerge, ...]:
    """Merge every label into the largest one of the same person, at a similarity of at least `same`."""
    nearest, similarity = prototypes.alike(prototypes.groups)
    whole = ~mixed[prototypes.labels]
    alike = (similarity >= same) & whole[:, None] & whole[nearest] & (nearest != np.arange(len(whole))[:, None])
    weight = np.array([weight_of(rows.p_clean[_dominant(rows, found, label)]) for label in prototypes.labels.tolist()])
    # In powers of two: of two labels of about equal size, every run keeps the first.
    scale = np.floor(np.log2(np.maximum(weight, 1)))
    at, column = np.nonzero(alike)
    best: dict[int, int] = {}
    # Unordered pairs, each once.
    for a, b in np.unique(np.sort([at, nearest[at, column]], axis=0), axis=1).T.tolist():
        small, large = sorted((a, b), key=lambda i: (scale[i], -i))
        if prototypes.by_chance(int(prototypes.groups.size[small]), int(pictures[small]), np.array([large])):
            continue
        if small not in best or (scale[large], -large) > (scale[best[small]], -best[small]):
            best[small] = large
    return tuple(_merge(rows, found, prototypes, small, best[small]) for small in sorted(best))


def _dominant(rows: ClassRows, found: npt.NDArray[np.int32], label: int) -> Ids:
    """Rows of the dominant group of a class."""
    members = rows.members(label)
    return members[found[members] == 0]


def _merge(rows: ClassRows, found: npt.NDArray[np.int32], prototypes: Prototypes, small: int, large: int) -> LabelMerge:
    centers = unit(prototypes.groups.mean[[small, large]])
    label, into = int(prototypes.labels[small]), int(prototypes.labels[large])
    shown = []
    for own, center, most in zip((label, into), centers[::-1], _SHOWN, strict=True):
        members = _dominant(rows, found, own)
        shown.append(members[np.argsort(-(rows.vectors[members] @ center), kind="stable")[:most]])
    return LabelMerge(label, into, float(centers[0] @ centers[1]), np.concatenate(shown))


def weight_of(p_clean: Floats) -> float:
    """Number of images, counting trusted ones twice."""
    return len(p_clean) + float(p_clean.sum())
