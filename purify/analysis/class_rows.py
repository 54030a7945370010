"""Rows sorted by class, and the distinct pictures of each class."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

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
    """Rows sorted by class."""

    vectors: Vectors
    label: Ids
    classes: int
    p_clean: Floats

    @cached_property
    def start(self) -> Ids:
        """First row of each class, and the number of rows, [C + 1]."""
        return np.searchsorted(self.label, np.arange(self.classes + 1))

    def members(self, label: int) -> Ids:
        """Row numbers of a class."""
        return np.arange(self.start[label], self.start[label + 1])


@dataclass(frozen=True)
class DistinctPictures:
    """Distinct pictures of a class, their probabilities ``p_clean[n]``, and the center of their densest region."""

    label: int
    rows: Vectors
    p_clean: Floats
    center: Vectors


def distinct_pictures(rows: ClassRows, label: int, pairs: CosineScale, near_duplicate: float) -> DistinctPictures:
    """Up to 400 rows of the class, evenly spaced, without near duplicates."""
    members = rows.members(label)
    if len(members) > _MOST_ROWS:
        members = members[np.linspace(0, len(members) - 1, _MOST_ROWS).astype(np.int64)]
    members = members[distinct(rows.vectors[members], near_duplicate)]
    pictures = rows.vectors[members]
    center = densest(pictures, pairs)
    return DistinctPictures(label, pictures, rows.p_clean[members], pictures[0] if center is None else center)


def nearest_center(vectors: Vectors, centers: Vectors, scale: CosineScale) -> Ids:
    """Index of the nearest of ``centers[g, D]`` to each of ``vectors[n, D]``; -1 if far from all."""
    cosines = vectors @ centers.T
    return np.where(cosines.max(axis=1) > scale.low, cosines.argmax(axis=1), -1)
