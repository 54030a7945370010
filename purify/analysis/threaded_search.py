"""Work in blocks, in as many threads as FAISS has, with the same result for any number of them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import faiss
import numpy as np

from purify.analysis.search import one_thread
from purify.arrays import Ids, Vectors

#: Queries per block. It affects the result: the last digit of a matrix product may depend on the sizes.
BLOCK_ROWS = 4096
_Found = TypeVar("_Found")


def map_blocks(work: Callable[[slice], _Found], total: int, size: int) -> list[_Found]:
    """``work(block)`` for each block of at most `size` of `total` items, in their order."""
    blocks = [slice(start, min(start + size, total)) for start in range(0, total, size)]
    threads = faiss.omp_get_max_threads()
    if threads == 1 or len(blocks) == 1:
        return [work(block) for block in blocks]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, blocks))


def search_blocks(index: faiss.Index, queries: Vectors, most: int) -> tuple[Vectors, Ids]:
    """Cosines and numbers [N, most] of the nearest vectors of `index` to the unit ``queries[N, D]``, nearest first.

    Padded with -inf and -1. Each block is searched in one thread: FAISS's products depend on the number of threads.
    """
    cosine = np.full((len(queries), most), -np.inf, np.float32)
    near = np.full((len(queries), most), -1, np.int64)
    width = min(most, index.ntotal)

    def search(rows: slice) -> None:
        with one_thread():
            cosine[rows, :width], near[rows, :width] = index.search(queries[rows], width)

    map_blocks(search, len(queries), BLOCK_ROWS)
    return cosine, near
