"""Near duplicates within a label: one picture is evidence once."""

from __future__ import annotations

import numpy as np

from purify.arrays import Ids, Vectors

#: Rows compared at a time.
_BLOCK = 1024


def first_of_each_picture(vectors: Vectors, label_index: Ids, near_duplicate: float) -> Ids:
    """The first row [N] of the same picture and label; the row itself unless it is a near duplicate of an earlier one.

    ``vectors[N, D]`` are unit vectors; two rows of a label with a cosine above `near_duplicate` are the same picture.
    """
    first = np.arange(len(label_index))
    order = np.argsort(label_index, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(label_index[order])) + 1):
        found = vectors[members]
        for start in range(0, len(members), _BLOCK):
            block = slice(start, start + _BLOCK)
            repeats = np.tril(found[block] @ found[: start + _BLOCK].T > near_duplicate, start - 1)
            at = np.flatnonzero(repeats.any(axis=1))
            first[members[start + at]] = members[repeats[at].argmax(axis=1)]
    while not np.array_equal(first, first[first]):
        first = first[first]
    return first
