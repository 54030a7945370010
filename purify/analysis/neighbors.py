"""The images most like an image, and how many of them carry its label."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import faiss
import numpy as np
import numpy.typing as npt

from purify.analysis.search import EXACT_ROWS, cosine_index, one_thread
from purify.arrays import Ids, Vectors

#: Rows of a block of queries. It is part of the result: a product of matrices may differ in its last digit with
#: their sizes, so blocks are the same whoever searches them.
BLOCK_ROWS = 4096
#: Neighbors searched beyond k at first; rows with more near duplicates are searched again, wider each time.
_SLACK = 12
_WIDEN = 4


@dataclass(frozen=True)
class Neighbors:
    """The nearest images that are no near duplicates.

    Attributes
    ----------
    rows
        int32 [N, k]: row numbers, nearest first; -1 where there are no more.
    agreement
        float32 [N]: share of the nearest m neighbors that have the same label, where m is the lesser of k and
        of the images with the same label that are neither the image nor a near duplicate of it. So a right
        image of a small class can reach 1. NaN where m is 0: nothing could agree.
    """

    rows: npt.NDArray[np.int32]
    agreement: npt.NDArray[np.float32]


@dataclass(frozen=True)
class NeighborQuery:
    """What `find_neighbors` searches.

    Attributes
    ----------
    embeddings
        float32 [N, D]: unit vectors.
    label_index
        int64 [N].
    k, near_duplicate, exact_rows
        As `find_neighbors` takes them.
    """

    embeddings: Vectors
    label_index: Ids
    k: int
    near_duplicate: float
    exact_rows: int = EXACT_ROWS

    def index(self) -> faiss.Index:
        """Index of all rows."""
        return cosine_index(self.embeddings, exact_rows=self.exact_rows)

    def blocks(self) -> list[slice]:
        """The rows, `BLOCK_ROWS` at a time."""
        total = len(self.embeddings)
        return [slice(start, min(start + BLOCK_ROWS, total)) for start in range(0, total, BLOCK_ROWS)]


#: Searches each of a query's blocks, in their order -> int32 [n, k + 1], as `search_block` gives it.
SearchBlocks = Callable[[NeighborQuery], Iterable[npt.NDArray[np.int32]]]


def search_here(query: NeighborQuery) -> Iterator[npt.NDArray[np.int32]]:
    """Search the blocks in as many threads as FAISS would use for one of them."""
    index = query.index()
    with ThreadPoolExecutor(faiss.omp_get_max_threads()) as pool:
        yield from pool.map(lambda block: search_block(index, query, block), query.blocks())


def search_block(index: faiss.Index, query: NeighborQuery, block: slice) -> npt.NDArray[np.int32]:
    """The k neighbors of the rows of a block, and last the number of near duplicates with the same label.

    It takes one thread: with more of them FAISS's products, and so near ties, depend on how many there are.
    """
    k, embeddings, label_index = query.k, query.embeddings, query.label_index
    answer = np.full((block.stop - block.start, k + 1), -1, np.int32)
    rows = np.arange(block.start, block.stop)
    width = k + 1 + _SLACK
    with one_thread():
        while len(rows):
            found, duplicates, settled = _search(index, embeddings, rows, k, width, query.near_duplicate)
            same = duplicates.valid & (label_index[duplicates.rows] == label_index[rows, None])
            answer[rows - block.start] = np.column_stack([found, same.sum(axis=1)])
            rows, width = rows[~settled], width * _WIDEN
    return answer


def find_neighbors(
    embeddings: Vectors,
    label_index: Ids,
    *,
    k: int,
    near_duplicate: float,
    exact_rows: int = EXACT_ROWS,
    search: SearchBlocks = search_here,
) -> Neighbors:
    """Search the k nearest of the unit ``embeddings[N, D]`` for each of them.

    A neighbor with a cosine above `near_duplicate` is the same picture again: it says nothing about the label,
    so it is left out and a farther one takes its place. Exhaustive up to `exact_rows` rows. `search` decides who
    does it, and never what comes out.
    """
    query = NeighborQuery(embeddings, label_index, k, near_duplicate, exact_rows)
    neighbors = np.full((len(embeddings), k), -1, np.int32)
    own_duplicates = np.zeros(len(embeddings), np.int64)
    for block, answer in zip(query.blocks(), search(query), strict=True):
        neighbors[block], own_duplicates[block] = answer[:, :k], answer[:, k]
    return Neighbors(neighbors, _agreement(neighbors, label_index, own_duplicates))


def evidence(neighbors: Neighbors, wanted: npt.NDArray[np.bool_], *, most: int) -> tuple[Ids, Ids]:
    """The `most` nearest neighbors of each row among the ``wanted[N, k]``.

    Returns
    -------
    tuple
        Row numbers of the chosen neighbors, row after row, and offsets [N + 1] into them.
    """
    wanted = wanted & (neighbors.rows >= 0)
    chosen = wanted & (np.cumsum(wanted, axis=1) <= most)
    offsets = np.zeros(len(chosen) + 1, np.int64)
    np.cumsum(chosen.sum(axis=1), out=offsets[1:])
    return neighbors.rows[chosen].astype(np.int64), offsets


@dataclass(frozen=True)
class _Masked:
    """Row numbers of which only the valid ones count."""

    rows: Ids
    valid: npt.NDArray[np.bool_]


def _search(
    index: faiss.Index, embeddings: Vectors, rows: Ids, k: int, width: int, near_duplicate: float
) -> tuple[npt.NDArray[np.int32], _Masked, npt.NDArray[np.bool_]]:
    """The k nearest that count, the near duplicates, and whether a wider search could find no more."""
    width = min(width, index.ntotal)
    cosines, found = index.search(embeddings[rows], width)
    others = (found >= 0) & (found != rows[:, None])
    duplicate = others & (cosines > near_duplicate)
    counted = others & ~duplicate
    nearest = np.argsort(~counted, axis=1, kind="stable")[:, :k]
    result = np.full((len(rows), k), -1, np.int32)
    result[:, : nearest.shape[1]] = np.where(
        np.take_along_axis(counted, nearest, axis=1), np.take_along_axis(found, nearest, axis=1), -1
    )
    settled = (counted.sum(axis=1) >= k) | (found[:, -1] < 0) | (width == index.ntotal)
    return result, _Masked(found, duplicate), settled


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
