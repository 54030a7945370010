"""Rows by class, and the distinct pictures of each class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import overload

import numpy as np

from purify.analysis.label_noise.mode_seeking import CosineScale, densest, distinct
from purify.arrays import Floats, Ids, Vectors

#: Maximum images of a class to compare pairwise; the others join the groups found among these.
_MOST_ROWS = 400
#: Leading columns that define the canonical order of the rows; ties keep the given order.
ORDER_COLUMNS = 8


def canonical_order(vectors: Vectors, label_index: Ids) -> Ids:
    """Row numbers sorted by class, then by vector."""
    columns = vectors[:, :ORDER_COLUMNS].T[::-1]
    return np.lexsort((*columns, label_index))


@dataclass(frozen=True)
class ClassRows:
    """Rows by class, in their canonical ``order[N]``, without copying them."""

    vectors: Vectors
    label: Ids
    classes: int
    p_clean: Floats
    order: Ids

    @cached_property
    def start(self) -> Ids:
        """First place of each class in the order, and the number of rows, [C + 1]."""
        return np.searchsorted(self.label[self.order], np.arange(self.classes + 1))

    def members(self, label: int) -> Ids:
        """Row numbers of a class, in canonical order."""
        return self.order[self.start[label] : self.start[label + 1]]


@dataclass(frozen=True)
class ImageGroups(Sequence[Vectors]):
    """Groups of rows of the same ``vectors[N, D]``, which are copied only when one is asked for."""

    vectors: Vectors
    members: list[Ids]

    def __len__(self) -> int:
        return len(self.members)

    @overload
    def __getitem__(self, at: int) -> Vectors: ...
    @overload
    def __getitem__(self, at: slice) -> list[Vectors]: ...
    def __getitem__(self, at: int | slice) -> Vectors | list[Vectors]:
        if isinstance(at, slice):
            return [self.vectors[rows] for rows in self.members[at]]
        return self.vectors[self.members[at]]

    @property
    def size(self) -> Ids:
        """Number of rows of each group."""
        return np.array([len(rows) for rows in self.members], np.int64)

    def take(self, groups: Sequence[int]) -> ImageGroups:
        """The given groups."""
        return ImageGroups(self.vectors, [self.members[group] for group in groups])


@dataclass(frozen=True)
class DistinctPictures:
    """Distinct pictures ``members[n]`` of a class, their ``p_clean[n]``, and the center of their densest region."""

    label: int
    vectors: Vectors
    members: Ids
    p_clean: Floats
    center: Vectors

    @property
    def rows(self) -> Vectors:
        """Their vectors [n, D]."""
        return self.vectors[self.members]

    def near_center(self, scale: CosineScale) -> Ids:
        """Those of the densest region."""
        return self.members[nearest_center(self.rows, self.center[None], scale) == 0]


def distinct_pictures(rows: ClassRows, label: int, pairs: CosineScale, near_duplicate: float) -> DistinctPictures:
    """Up to 400 rows of the class, evenly spaced, without near duplicates."""
    members = rows.members(label)
    if len(members) > _MOST_ROWS:
        members = members[np.linspace(0, len(members) - 1, _MOST_ROWS).astype(np.int64)]
    members = members[distinct(rows.vectors[members], near_duplicate)]
    pictures = rows.vectors[members]
    center = densest(pictures, pairs)
    center = pictures[0].copy() if center is None else center
    return DistinctPictures(label, rows.vectors, members, rows.p_clean[members], center)


def nearest_center(vectors: Vectors, centers: Vectors, scale: CosineScale) -> Ids:
    """Index of the nearest of ``centers[g, D]`` to each of ``vectors[n, D]``; -1 if far from all."""
    cosines = vectors @ centers.T
    return np.where(cosines.max(axis=1) > scale.low, cosines.argmax(axis=1), -1)
