"""The nearest neighbors of each image, and how many share its label."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import faiss
import numpy as np
import numpy.typing as npt

from purify.analysis.search import EXACT_ROWS, cosine_index, one_thread
from purify.arrays import Ids, Mask, Vectors

#: Queries per block. It affects the result: the last digit of a matrix product may depend on the sizes.
BLOCK_ROWS = 4096
#: Neighbors searched beyond k at first; rows with more near duplicates are searched again, wider each time.
_SLACK = 12
_WIDEN = 4


@dataclass(frozen=True)
class Neighbors:
    """Row numbers [N, k] of the nearest neighbors without near duplicates, nearest first, padded with -1.

    ``agreement[N]`` is the share with the same label among the nearest m, where m is the smaller of k and the number of
    other images of that label without near duplicates: so a right image of a small class can reach 1. NaN for m = 0.
    """

    rows: npt.NDArray[np.int32]
    agreement: npt.NDArray[np.float32]


def find_neighbors(
    embeddings: Vectors, label_index: Ids, *, k: int, near_duplicate: float, exact_rows: int = EXACT_ROWS
) -> Neighbors:
    """Find the k nearest neighbors of each of the unit ``embeddings[N, D]``.

    A neighbor with a cosine above `near_duplicate` is the same picture, and no evidence of the label: a farther one
    takes its place. Exhaustive up to `exact_rows` rows. Blocks are searched in as many threads as FAISS has.
    """
    query = _Query(cosine_index(embeddings, exact_rows=exact_rows), embeddings, label_index, k, near_duplicate)
    total = len(embeddings)
    blocks = [slice(start, min(start + BLOCK_ROWS, total)) for start in range(0, total, BLOCK_ROWS)]
    neighbors = np.full((total, k), -1, np.int32)
    own_duplicates = np.zeros(total, np.int64)
    with ThreadPoolExecutor(faiss.omp_get_max_threads()) as pool:
        for block, (found, duplicates) in zip(blocks, pool.map(query.search, blocks), strict=True):
            neighbors[block], own_duplicates[block] = found, duplicates
    return Neighbors(neighbors, _agreement(neighbors, label_index, own_duplicates))


def nearest_of(neighbors: Neighbors, wanted: Mask, *, most: int) -> tuple[Ids, Ids]:
    """Numbers of each row's `most` nearest neighbors among the ``wanted[N, k]``, and offsets [N + 1] of the rows."""
    wanted = wanted & (neighbors.rows >= 0)
    chosen = wanted & (np.cumsum(wanted, axis=1) <= most)
    offsets = np.zeros(len(chosen) + 1, np.int64)
    np.cumsum(chosen.sum(axis=1), out=offsets[1:])
    return neighbors.rows[chosen].astype(np.int64), offsets


@dataclass(frozen=True)
class _Query:
    """A search in an index of the unit embeddings [N, D]."""

    index: faiss.Index
    embeddings: Vectors
    label_index: Ids
    k: int
    near_duplicate: float

    def search(self, block: slice) -> tuple[npt.NDArray[np.int32], Ids]:
        """The k neighbors of the rows of a block, and the numbers of their near duplicates with the same label.

        Runs in one thread: FAISS's products, and so near ties, depend on the number of threads.
        """
        neighbors = np.full((block.stop - block.start, self.k), -1, np.int32)
        own_duplicates = np.zeros(len(neighbors), np.int64)
        rows, width = np.arange(block.start, block.stop), self.k + 1 + _SLACK
        with one_thread():
            while len(rows):
                at = rows - block.start
                neighbors[at], own_duplicates[at], settled = self._search(rows, width)
                rows, width = rows[~settled], width * _WIDEN
        return neighbors, own_duplicates

    def _search(self, rows: Ids, width: int) -> tuple[npt.NDArray[np.int32], Ids, Mask]:
        """The k nearest valid neighbors, the numbers of near duplicates, and whether a wider search is pointless."""
        total, k = self.index.ntotal, self.k
        width = min(width, total)
        cosines, found = self.index.search(self.embeddings[rows], width)
        others = (found >= 0) & (found != rows[:, None])
        duplicate = others & (cosines > self.near_duplicate)
        counted = others & ~duplicate
        nearest = np.argsort(~counted, axis=1, kind="stable")[:, :k]
        result = np.full((len(rows), k), -1, np.int32)
        result[:, : nearest.shape[1]] = np.where(
            np.take_along_axis(counted, nearest, axis=1), np.take_along_axis(found, nearest, axis=1), -1
        )
        settled = (counted.sum(axis=1) >= k) | (found[:, -1] < 0) | (width == total)
        same = duplicate & (self.label_index[found] == self.label_index[rows, None])
        return result, same.sum(axis=1), settled


def _agreement(neighbors: npt.NDArray[np.int32], label_index: Ids, own_duplicates: Ids) -> npt.NDArray[np.float32]:
    """Agreement as `Neighbors` defines it."""
    k = neighbors.shape[1]
    mates = np.bincount(label_index)[label_index] - 1 - own_duplicates
    asked = np.minimum(k, mates)
    counts = (neighbors >= 0) & (np.arange(k) < asked[:, None])
    same = counts & (label_index[neighbors] == label_index[:, None])
    agreement = np.full(len(neighbors), np.nan, np.float32)
    np.divide(same.sum(axis=1), asked, out=agreement, where=asked > 0, casting="unsafe")
    return agreement
