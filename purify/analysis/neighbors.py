"""The nearest neighbors of each image, and how many share its label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from purify.analysis.nearest_images import NearestImages
from purify.analysis.search import row_chunks
from purify.analysis.threaded_search import BLOCK_ROWS
from purify.arrays import Ids, Mask, Vectors

#: Neighbors sought beyond k at first; rows with more near duplicates are searched again, wider each time.
SLACK = 12
_WIDEN = 4


@dataclass(frozen=True)
class Neighbors:
    """Row numbers [N, k] of the nearest neighbors without near duplicates, nearest first, padded with -1.

    ``agreement[N]`` is the share with the same label among the nearest m, where m is the smaller of k and the number of
    other images of that label without near duplicates: so a right image of a small class can reach 1. NaN for m = 0.
    """

    rows: npt.NDArray[np.int32]
    agreement: npt.NDArray[np.float32]


def find_neighbors(nearest: NearestImages, label_index: Ids, *, k: int, near_duplicate: float) -> Neighbors:
    """The k nearest of the `nearest` images of each of N, whose labels are ``label_index[N]``.

    A neighbor with a cosine above `near_duplicate` is the same picture, and no evidence of the label: a farther one
    takes its place.
    """
    total = len(label_index)
    neighbors = np.empty((total, k), np.int32)
    own_duplicates, settled = np.empty(total, np.int64), np.empty(total, np.bool_)
    for chunk in row_chunks(total):
        neighbors[chunk], own_duplicates[chunk], settled[chunk] = _count(
            nearest.rows[chunk],
            nearest.cosine[chunk],
            np.arange(chunk.start, chunk.stop),
            label_index,
            k,
            near_duplicate,
        )
    width = nearest.rows.shape[1]
    while not settled.all():
        rows, width = np.flatnonzero(~settled), width * _WIDEN
        for start in range(0, len(rows), BLOCK_ROWS):
            part = rows[start : start + BLOCK_ROWS]
            cosine, found = nearest.wider(part, min(width, total - 1))
            neighbors[part], own_duplicates[part], settled[part] = _count(
                found, cosine, part, label_index, k, near_duplicate
            )
    return Neighbors(neighbors, _agreement(neighbors, label_index, own_duplicates))


def _count(
    found: Ids | npt.NDArray[np.int32], cosine: Vectors, rows: Ids, label_index: Ids, k: int, near_duplicate: float
) -> tuple[npt.NDArray[np.int32], Ids, Mask]:
    """The k nearest valid neighbors [n, k], the numbers of near duplicates, and whether a wider search is pointless."""
    there = found >= 0
    duplicate = there & (cosine > near_duplicate)
    counted = there & ~duplicate
    nearest = np.argsort(~counted, axis=1, kind="stable")[:, :k]
    result = np.full((len(rows), k), -1, np.int32)
    result[:, : nearest.shape[1]] = np.where(
        np.take_along_axis(counted, nearest, axis=1), np.take_along_axis(found, nearest, axis=1), -1
    )
    exhausted = ~there.all(axis=1) | (found.shape[1] >= len(label_index) - 1)
    same = duplicate & (label_index[found] == label_index[rows, None])
    return result, same.sum(axis=1), (counted.sum(axis=1) >= k) | exhausted


def nearest_of(neighbors: Neighbors, wanted: Mask, *, most: int) -> tuple[Ids, Ids]:
    """Numbers of each row's `most` nearest neighbors among the ``wanted[N, k]``, and offsets [N + 1] of the rows."""
    wanted = wanted & (neighbors.rows >= 0)
    chosen = wanted & (np.cumsum(wanted, axis=1) <= most)
    offsets = np.zeros(len(chosen) + 1, np.int64)
    np.cumsum(chosen.sum(axis=1), out=offsets[1:])
    return neighbors.rows[chosen].astype(np.int64), offsets


def _agreement(neighbors: npt.NDArray[np.int32], label_index: Ids, own_duplicates: Ids) -> npt.NDArray[np.float32]:
    """Agreement as `Neighbors` defines it."""
    k = neighbors.shape[1]
    mates = np.bincount(label_index)[label_index] - 1 - own_duplicates
    asked, same = np.minimum(k, mates), np.empty(len(neighbors), np.int64)
    for part in row_chunks(len(neighbors)):
        counts = (neighbors[part] >= 0) & (np.arange(k) < asked[part, None])
        same[part] = (counts & (label_index[neighbors[part]] == label_index[part, None])).sum(axis=1)
    agreement = np.full(len(neighbors), np.nan, np.float32)
    np.divide(same, asked, out=agreement, where=asked > 0, casting="unsafe")
    return agreement
