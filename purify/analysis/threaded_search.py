"""Searches in blocks, in as many threads as FAISS has, with the same result for any number of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import faiss
import numpy as np

from purify.analysis.search import one_thread
from purify.arrays import Ids, Vectors

_BLOCK_ROWS = 4096


def search_blocks(index: faiss.Index, queries: Vectors, most: int) -> tuple[Vectors, Ids]:
    """Cosines and numbers [N, most] of the nearest vectors of `index` to the unit ``queries[N, D]``, nearest first.

    Padded with -inf and -1. Each block is searched in one thread: FAISS's products depend on the number of threads.
    """
    cosine = np.full((len(queries), most), -np.inf, np.float32)
    near = np.full((len(queries), most), -1, np.int64)
    width = min(most, index.ntotal)

    def search(start: int) -> None:
        rows = slice(start, start + _BLOCK_ROWS)
        with one_thread():
            cosine[rows, :width], near[rows, :width] = index.search(queries[rows], width)

    with ThreadPoolExecutor(faiss.omp_get_max_threads()) as pool:
        list(pool.map(search, range(0, len(queries), _BLOCK_ROWS)))
    return cosine, near
