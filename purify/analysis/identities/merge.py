"""One identity under several labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from purify.analysis.class_rows import ClassRows
from purify.analysis.identities.null_thresholds import NullThresholds
from purify.analysis.identities.prototypes import Prototypes
from purify.analysis.search import unit
from purify.arrays import Floats, Ids, Mask, Vectors

_SHOWN = (3, 2)


@dataclass(frozen=True)
class LabelMerge:
    """One person under two labels.

    Attributes
    ----------
    label, into
        Class numbers; `into` has more images of the person (a trusted one counts twice). Numbers of images in the
        same power of two are a tie, which the lower class number wins: names don't change places for an image.
        It may itself be merged into a third.
    cosine
        Cosine of the centers of the two classes' dominant groups.
    evidence
        Row numbers: up to 3 images of `label` that are most like `into`, then up to 2 of `into` most like `label`.
    """

    label: int
    into: int
    cosine: float
    evidence: Ids


def find_merges(
    rows: ClassRows,
    found: npt.NDArray[np.int32],
    mixed: Mask,
    prototypes: Prototypes,
    pictures: Ids,
    thresholds: NullThresholds,
) -> tuple[LabelMerge, ...]:
    """LabelMerge every label into the largest one that shows the same person."""
    nearest, similarity = prototypes.alike(prototypes.groups)
    whole = ~mixed[prototypes.labels]
    alike = (
        (similarity >= thresholds.same) & whole[:, None] & whole[nearest] & (nearest != np.arange(len(whole))[:, None])
    )
    weight = np.array([weight_of(rows.p_clean[_dominant(rows, found, label)]) for label in prototypes.labels.tolist()])
    # In powers of two: of two labels that are about as large the first one stays, run after run.
    scale = np.floor(np.log2(np.maximum(weight, 1)))
    best: dict[int, int] = {}
    for a, b in zip(*(side.tolist() for side in _pairs(alike, nearest)), strict=True):
        small, large = sorted((a, b), key=lambda i: (scale[i], -i))
        if prototypes.by_chance(int(prototypes.groups.size[small]), int(pictures[small]), np.array([large])):
            continue
        if small not in best or (scale[large], -large) > (scale[best[small]], -best[small]):
            best[small] = large
    return tuple(_merge(rows, found, prototypes, small, best[small]) for small in sorted(best))


def _pairs(alike: Mask, nearest: Ids) -> tuple[Ids, Ids]:
    """The unordered pairs of positions that are `alike`, each once."""
    a, column = np.nonzero(alike)
    b = nearest[a, column]
    pairs = np.unique(np.stack([np.minimum(a, b), np.maximum(a, b)]), axis=1)
    return pairs[0], pairs[1]


def _dominant(rows: ClassRows, found: npt.NDArray[np.int32], label: int) -> Ids:
    """Rows of the dominant group of a class."""
    members = rows.members(label)
    return members[found[members] == 0]


def _merge(rows: ClassRows, found: npt.NDArray[np.int32], prototypes: Prototypes, small: int, large: int) -> LabelMerge:
    centers = unit(prototypes.groups.mean[[small, large]])
    label, into = int(prototypes.labels[small]), int(prototypes.labels[large])
    shown = [
        _most_like(rows, _dominant(rows, found, own), center, most)
        for own, center, most in zip((label, into), centers[::-1], _SHOWN, strict=True)
    ]
    return LabelMerge(label, into, float(centers[0] @ centers[1]), np.concatenate(shown))


def _most_like(rows: ClassRows, members: Ids, center: Vectors, most: int) -> Ids:
    return members[np.argsort(-(rows.vectors[members] @ center), kind="stable")[:most]]


def weight_of(p_clean: Floats) -> float:
    """Images, of which a trusted one counts twice."""
    return len(p_clean) + float(p_clean.sum())
