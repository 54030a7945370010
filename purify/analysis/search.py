"""FAISS indexes by cosine: exact up to a size, approximate and reproducible above it.

FAISS distributes queries over ``OMP_NUM_THREADS`` threads (default: all cores). The last digit of an exhaustive
search's cosines depends on their number; `one_thread` avoids that, and `one_blas_thread` the same of NumPy's products.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

from purify.arrays import Ids, StoredVectors, Vectors

#: Up to this many vectors a search is exhaustive.
EXACT_ROWS = 200_000
#: Queries per search; bounds the memory of the answers.
QUERY_ROWS = 4096
#: Up to this many pairs of image and label, the labels nearest to an image are sought exhaustively in every round. With
#: more, only these are looked at: a search among 13,000 centers takes two minutes of two cores for a million images.
MOST_PAIRS, NEAR_LABELS = 1_000_000_000, 33
#: Pairs above which centers are first sought in a subspace. A query among 100,000 centers of 512 dimensions takes 1 ms
#: of a core, and 0.4 ms so; the nearest was the same in all of 4,096 cases.
MOST_EXACT_PAIRS = 2_000_000_000
_SUBSPACE, _REFINED = 128, 4.0
_PROBES = 64
_CLUSTERING_SEED = 1234


def cosine_index(vectors: Vectors) -> faiss.Index:
    """Index of the unit ``vectors[N, D]`` by inner product: flat, or inverted lists above `EXACT_ROWS`."""
    rows, dim = vectors.shape
    if rows <= EXACT_ROWS:
        return flat_index(vectors)
    lists = round(4 * math.sqrt(rows))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, lists, faiss.METRIC_INNER_PRODUCT)
    index.cp.seed = _CLUSTERING_SEED
    index.nprobe = _PROBES
    index.train(vectors)
    index.add(vectors)
    return index


def center_index(centers: Vectors, queries: int) -> faiss.Index:
    """Index of unit ``centers[L, D]`` for so many queries: exhaustive.

    Of very many pairs, the cosines in a random subspace choose `_REFINED` times as many as asked for, which are then
    compared in all dimensions.
    """
    dim = centers.shape[1]
    if len(centers) * queries <= MOST_EXACT_PAIRS or dim <= _SUBSPACE:
        return flat_index(centers)
    rotation = faiss.RandomRotationMatrix(dim, _SUBSPACE)
    rotation.init(_CLUSTERING_SEED)
    index: Any = faiss.IndexRefineFlat(faiss.IndexPreTransform(rotation, faiss.IndexFlatIP(_SUBSPACE)))
    index.k_factor = _REFINED
    index.add(centers)
    return index


def cosines_to(queries: Vectors, vectors: Vectors, chosen: Ids) -> Vectors:
    """Cosines of ``queries[N, D]`` to the unit ``vectors[M, D]`` with the numbers ``chosen[N, k]`` -> [N, k].

    Each is computed independently, so that equal vectors have equal cosines at any position.
    """
    return pair_cosines(flat_index(vectors), queries, chosen)


def row_cosines(vectors: Vectors, rows: Ids, others: Vectors, chosen: Ids) -> Vectors:
    """Cosines [n] of the unit ``vectors[rows[n]]`` to the unit ``others[chosen[n]]``."""
    cosines = np.empty(len(rows), np.float32)
    for part in row_chunks(len(rows)):
        cosines[part] = np.einsum("nd,nd->n", vectors[rows[part]], others[chosen[part]])
    return cosines


def flat_index(vectors: Vectors) -> faiss.Index:
    """Exhaustive index of ``vectors[M, D]`` by inner product, for many calls of `pair_cosines`."""
    index: Any = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    return index


def pair_cosines(index: Any, queries: Vectors, chosen: Ids) -> Vectors:
    """`cosines_to` the vectors of a `flat_index`."""
    chosen = np.ascontiguousarray(chosen, np.int64)
    cosines = np.empty(chosen.shape, np.float32)
    index.compute_distance_subset(
        len(queries), faiss.swig_ptr(queries), chosen.shape[1], faiss.swig_ptr(cosines), faiss.swig_ptr(chosen)
    )
    return cosines


def unit(vectors: npt.NDArray[np.floating]) -> Vectors:
    """Scale vectors to length 1 along the last axis; contiguous; zeros stay zeros."""
    if vectors.dtype == np.float16:
        vectors = vectors.astype(np.float32)  # NumPy computes in 16 bits only by many conversions
    scaled = vectors / np.maximum(np.abs(vectors).max(axis=-1, keepdims=True), np.finfo(np.float32).tiny)
    norms = np.linalg.norm(scaled, axis=-1, keepdims=True)
    return np.ascontiguousarray(scaled / np.where(norms > 0, norms, 1), np.float32)


@contextmanager
def one_thread() -> Iterator[None]:
    """Restrict FAISS to the calling thread; other threads keep their number."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def one_blas_thread() -> AbstractContextManager[Any]:
    """Context in which each product of NumPy is computed by the calling thread alone.

    Its last digits depend on the number of threads. And threads that share many small products mostly wait for each
    other: the analysis of 30,000 images took four times the CPU with two of them on a busy machine. Libraries on top of
    OpenMP are left alone, since their number is that of FAISS.
    """
    blas = ThreadpoolController().select(user_api="blas")
    files = [one["filepath"] for one in blas.info() if one.get("threading_layer") != "openmp"]
    limited: AbstractContextManager[Any] = blas.select(filepath=files).limit(limits=1)
    return limited


def vector_blocks(vectors: Vectors | StoredVectors, order: Ids | None = None) -> Iterator[tuple[Ids, Vectors]]:
    """Places [n] in ``order[N]`` of the rows, and vectors [n, D], each row once; None: places are row numbers.

    An array is read from its first row to its last one, other vectors as they are stored.
    """
    place = np.arange(vectors.shape[0]) if order is None else np.argsort(order)
    if isinstance(vectors, np.ndarray):
        yield from ((place[rows], vectors[rows]) for rows in row_chunks(len(vectors)))
    else:
        yield from ((place[rows], block) for rows, block in vectors.blocks())


def row_chunks(rows: int) -> Iterator[slice]:
    """Consecutive slices of at most `QUERY_ROWS` of `rows`."""
    return (slice(start, min(start + QUERY_ROWS, rows)) for start in range(0, rows, QUERY_ROWS))
