"""The nearest other images of every image: exhaustively in small sets, else among those under the same few centers.

Above a size, the images are filed under the label center nearest to each, and an image is compared with those filed
under the centers nearest to it: since images of one person lie around one center, these are the ones that matter. The
share of the neighbors that this finds is measured on a sample, and more centers are taken in until it is large enough.
"""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from purify.analysis.label_noise.leave_one_out import class_sums
from purify.analysis.label_noise.mode_seeking import scale_between
from purify.analysis.search import MOST_PAIRS, NEAR_LABELS, center_index, flat_index, one_thread, row_cosines, unit
from purify.analysis.threaded_search import BLOCK_ROWS, map_blocks, search_blocks
from purify.arrays import Ids, Vectors

#: Up to this many images a search is exhaustive.
EXACT_IMAGES = 20_000
#: Neighbors of an image that are sought at least.
SOUGHT = 32
#: Images on which the recall is measured.
_SAMPLE = 256
_PROBES = 4
#: Lists of images: at least this many times the root of their number, else label centers are too few.
_LEAST_LISTS, _LISTS = 0.5, 4.0
_TRAINED_ON, _TRAININGS, _CLUSTERING_SEED = 40, 8, 1234
#: Cosines above this one are computed anew, since 16 bits don't tell near pictures from equal ones.
_NEAR = 0.9
_PAIRS = 20_000


@dataclass(frozen=True)
class NearestImages:
    """For each of N images, its M nearest others: ``cosine[N, M]`` and ``rows[N, M]``, nearest first, padded with -1.

    ``recall``: measured share that was found of the neighbors too near for chance; 1 after an exhaustive search.
    ``labels[N, R]``: those with the nearest means, nearest first; None unless there are many images and labels.
    """

    vectors: Vectors
    cosine: Vectors
    rows: npt.NDArray[np.int32]
    recall: float
    labels: npt.NDArray[np.int32] | None = None

    def wider(self, rows: Ids, most: int) -> tuple[Vectors, Ids]:
        """Cosines and row numbers [n, `most`] of the nearest others of `rows`, as above, by an exhaustive search."""
        return _exhaustive(self.vectors, rows, most)


def nearest_images(
    vectors: Vectors,
    label_index: Ids,
    *,
    most: int = SOUGHT,
    recall: float = 0.95,
    exact_images: int = EXACT_IMAGES,
    device: str | None = None,
) -> NearestImages:
    """Find the `most` nearest others of each of the unit ``vectors[N, D]`` of the labels ``label_index[N]``.

    Above `exact_images` images the search is approximate, with at least the wanted `recall`; on a `device` of PyTorch's
    it is exhaustive. None: on the cards if there are any, else on the CPU.
    """
    device = device or (_cards() if len(vectors) > exact_images else None)
    if device is not None:
        return _on_device(vectors, most, device)
    near, reached = None, 1.0
    index: _Exhaustive | _Filed
    if len(vectors) <= exact_images:
        index = _Exhaustive(vectors)
    else:
        centers, labels = _list_centers(vectors, label_index)
        index = _Filed(vectors, centers, many=labels is not None and len(vectors) * len(centers) > MOST_PAIRS)
        reached = _reach(index, vectors, label_index, most, recall)
        near = index.near(labels)
    cosine = np.full((len(vectors), most), -np.inf, np.float32)
    rows = np.full((len(vectors), most), -1, np.int32)

    def search(block: slice) -> None:
        cosine[block], rows[block] = _others(index, np.arange(block.start, block.stop), most)

    map_blocks(search, len(vectors), BLOCK_ROWS)
    return NearestImages(vectors, cosine, rows, reached, near)


def _cards() -> str | None:
    """The device ``cuda`` if there are cards and it is the one to use; PyTorch is loaded only where a driver is."""
    if shutil.which("nvidia-smi") is None:
        return None
    from purify.models.precision import default_device

    return "cuda" if default_device().type == "cuda" else None


def _on_device(vectors: Vectors, most: int, device: str) -> NearestImages:
    from purify.models.nearest_rows import top_cosines

    cosine, found = top_cosines(vectors, vectors, most + 1, device=device)
    near, rows = _without_itself(np.arange(len(vectors)), cosine, found, most)
    return NearestImages(vectors, near, rows.astype(np.int32), 1.0)


class _Exhaustive:
    """All of the ``vectors[N, D]``."""

    def __init__(self, vectors: Vectors) -> None:
        self.vectors, self._index = vectors, flat_index(vectors)

    def search(self, rows: Ids, most: int) -> tuple[Vectors, Ids]:
        """Cosines and row numbers [n, most] of the vectors nearest to those of `rows`."""
        found: tuple[Vectors, Ids] = self._index.search(self.vectors[rows], most)
        return found


class _Filed:
    """The ``vectors[N, D]`` in inverted lists, each vector in 16 bits under the nearest of ``centers[L, D]``.

    Of `many` centers, each image's nearest are kept for `near`. The lists nearest to an image are sought once.
    """

    def __init__(self, vectors: Vectors, centers: Vectors, *, many: bool) -> None:
        self.vectors, self._many, self.lists = vectors, many, len(centers)
        self.probes = min(_PROBES, self.lists)
        self._centers = center_index(centers, len(vectors))
        self._nearest = self._lists(NEAR_LABELS if many else self.probes)
        kind, dim = faiss.ScalarQuantizer.QT_fp16, vectors.shape[1]
        self._index: Any = faiss.IndexIVFScalarQuantizer(
            self._centers, dim, self.lists, kind, faiss.METRIC_INNER_PRODUCT, False
        )
        self._index.is_trained, self._index.nprobe = True, self.probes
        for start in range(0, len(vectors), BLOCK_ROWS):
            block = np.ascontiguousarray(vectors[start : start + BLOCK_ROWS])
            lists = self._nearest[start : start + BLOCK_ROWS, 0].astype(np.int64)
            numbers = np.arange(start, start + len(block))
            self._index.add_core(len(block), faiss.swig_ptr(block), faiss.swig_ptr(numbers), faiss.swig_ptr(lists))

    def probe(self, probes: int) -> None:
        """Look through so many lists for each image."""
        self.probes = self._index.nprobe = min(probes, self.lists)
        if self.probes > self._nearest.shape[1]:
            self._nearest = self._lists(self.probes)

    def search(self, rows: Ids, most: int) -> tuple[Vectors, Ids]:
        """Cosines and row numbers [n, most] of the vectors nearest to those of `rows`, in their lists; -1: no more."""
        found: tuple[Vectors, Ids] = self._index.search_preassigned(
            self.vectors[rows], most, self._nearest[rows, : self.probes], None
        )
        return found

    def near(self, labels: Ids | None) -> npt.NDArray[np.int32] | None:
        """The ``labels[L]`` of the centers nearest to each image, [N, `NEAR_LABELS`]; None if these are not many."""
        if labels is None or not self._many:
            return None
        found = self._nearest[:, :NEAR_LABELS]
        return np.where(found >= 0, labels.astype(np.int32)[found], -1)

    def _lists(self, most: int) -> npt.NDArray[np.int32]:
        return search_blocks(self._centers, self.vectors, most)[1].astype(np.int32)


def _others(index: _Exhaustive | _Filed, rows: Ids, most: int) -> tuple[Vectors, Ids]:
    """Cosines and row numbers [n, most] of the nearest others, by the calling thread alone.

    FAISS's products, and so near ties, depend on the number of threads.
    """
    vectors = index.vectors
    with one_thread():
        cosine, found = index.search(rows, min(most + 1, len(vectors)))
    _sharpen(vectors, rows, cosine, found)
    return _without_itself(rows, cosine, found, most)


def _without_itself(rows: Ids, cosine: Vectors, found: Ids, most: int) -> tuple[Vectors, Ids]:
    """Cosines and row numbers [n, most] of what was `found` for the `rows` but for themselves, nearest first."""
    away = np.where(found == rows[:, None], np.inf, np.where(found < 0, np.inf, -cosine))
    order = np.argsort(away, axis=1, kind="stable")[:, :most]
    valid = np.isfinite(np.take_along_axis(away, order, axis=1))
    wide = np.full((len(rows), most), -1, np.int64)
    near = np.full((len(rows), most), -np.inf, np.float32)
    wide[:, : order.shape[1]] = np.where(valid, np.take_along_axis(found, order, axis=1), -1)
    near[:, : order.shape[1]] = np.where(valid, np.take_along_axis(cosine, order, axis=1), -np.inf)
    return near, wide


def _sharpen(vectors: Vectors, rows: Ids, cosine: Vectors, found: Ids) -> None:
    """Set the cosines of near images to those of the vectors themselves, in place."""
    at, column = np.nonzero((cosine > _NEAR) & (found >= 0))
    cosine[at, column] = row_cosines(vectors, rows[at], vectors, found[at, column])


def _list_centers(vectors: Vectors, label_index: Ids) -> tuple[Vectors, Ids | None]:
    """Centers [L, D] to file images under: those of the labels, with these, or of clusters where the labels are few."""
    classes, wanted = int(label_index.max(initial=0)) + 1, _LISTS * math.sqrt(len(vectors))
    sums = class_sums(vectors, label_index, np.ones(len(vectors)), classes)
    present = np.flatnonzero(sums.count)
    if len(present) >= _LEAST_LISTS * math.sqrt(len(vectors)):
        return unit(sums.total[present]), present
    lists = round(wanted)
    clusters = faiss.Kmeans(
        vectors.shape[1], lists, niter=_TRAININGS, spherical=True, seed=_CLUSTERING_SEED, min_points_per_centroid=1
    )
    with one_thread():
        clusters.train(vectors[:: max(1, len(vectors) // (_TRAINED_ON * lists))])
    return unit(np.asarray(clusters.centroids)), None


def _reach(index: _Filed, vectors: Vectors, label_index: Ids, most: int, recall: float) -> float:
    """Probe more lists until the wanted recall is reached on a sample; the recall reached."""
    queries = np.unique(np.linspace(0, len(vectors) - 1, _SAMPLE).astype(np.int64))
    exact = _exhaustive(vectors, queries, most)
    counted = exact[0] > _chance(vectors, label_index)
    if not counted.any():
        return 1.0
    while True:
        found = _others(index, queries, most)[1]
        seen = (exact[1][:, :, None] == found[:, None]).any(axis=2)
        reached = float(seen[counted].mean())
        if reached >= recall or index.probes >= index.lists:
            return reached
        index.probe(2 * index.probes)


def _exhaustive(vectors: Vectors, queries: Ids, most: int) -> tuple[Vectors, Ids]:
    """Cosines and row numbers [n, most] of the nearest others of the rows `queries`; padded with -inf and -1."""
    most = min(most, len(vectors))
    cosine, rows = np.zeros((len(queries), 0), np.float32), np.zeros((len(queries), 0), np.int64)
    for start in range(0, len(vectors), BLOCK_ROWS):
        block = vectors[queries] @ vectors[start : start + BLOCK_ROWS].T
        numbers = np.arange(start, start + block.shape[1])
        block[queries[:, None] == numbers] = -np.inf
        cosine = np.concatenate([cosine, block], axis=1)
        rows = np.concatenate([rows, np.broadcast_to(numbers, block.shape)], axis=1)
        best = np.argsort(-cosine, axis=1, kind="stable")[:, :most]
        cosine, rows = np.take_along_axis(cosine, best, axis=1), np.take_along_axis(rows, best, axis=1)
    return cosine, np.where(np.isfinite(cosine), rows, -1)


def _chance(vectors: Vectors, label_index: Ids) -> float:
    """Cosine that about one of N images of other people exceeds: quantiles as of a normal distribution."""
    rows, step = len(vectors), max(1, len(vectors) // 2)
    a = np.linspace(0, rows - 1, min(_PAIRS, rows)).astype(np.int64)
    b = (a + step + np.arange(len(a)) % 97) % rows
    scale = scale_between(vectors, label_index, a, b)
    if scale is None:
        return -np.inf
    # Of a normal distribution, 1 of N lies beyond sqrt(2 ln N) deviations, about; the 95 % quantile at 1.645.
    return scale.low + scale.width * max(0.0, math.sqrt(2 * math.log(rows)) / 1.645 - 1)
