"""Embeddings of any extractor and scale -> centered directions, and quality from the vectors' lengths."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from purify.analysis.label_noise.leave_one_out import class_sums
from purify.analysis.search import row_chunks, unit, vector_blocks
from purify.arrays import Floats, Ids, StoredVectors, Vectors

#: Logarithms of lengths are clipped at this many standard deviations from their median.
_FARTHEST = 3.5
_TINY = 1e-6


@dataclass(frozen=True)
class CenteredEmbeddings:
    """Unit ``vectors[N, D]`` around the mean of the labels' means, and ``quality``, float64 [N, 2].

    Quality: standardized logarithms of the embedding's length, and of the distance of its direction from the mean
    direction. Embeddings of blurred, turned or occluded faces are short and near the mean.
    """

    vectors: Vectors
    quality: Floats

    def of(self, rows: Ids) -> CenteredEmbeddings:
        """Those of `rows`; the same arrays, if these are all."""
        if np.array_equal(rows, np.arange(len(self.vectors))):
            return self
        return CenteredEmbeddings(np.ascontiguousarray(self.vectors[rows]), self.quality[rows])


def centered(
    embeddings: Vectors | StoredVectors, label_index: Ids | None = None, *, order: Ids | None = None
) -> CenteredEmbeddings:
    """Center finite ``embeddings[N, D]`` on the mean of the labels' means, so that no large label is the origin.

    Without labels the origin is the mean of all rows. Their order affects only the last digits. ``order[N]`` are the
    rows to center, of the labels ``label_index[N]``; None: all of them as they are.
    """
    number = embeddings.shape[0]
    directions, length, distance = np.empty(embeddings.shape, np.float32), np.empty(number), np.empty(number)
    for places, vectors in vector_blocks(embeddings, order):
        directions[places] = unit(vectors)
        length[places] = np.linalg.norm(vectors.astype(np.float64), axis=1)
    labels = np.arange(number) if label_index is None else label_index
    sums = class_sums(directions, labels, np.ones(len(labels)), int(labels.max(initial=-1)) + 1)
    mean = sums.means()[sums.count > 0].mean(axis=0, dtype=np.float64).astype(np.float32)
    for part in row_chunks(number):
        directions[part] -= mean
        distance[part] = np.linalg.norm(directions[part], axis=1)
        directions[part] = unit(directions[part])
    return CenteredEmbeddings(directions, np.stack([_standardized(length), _standardized(distance)], axis=1))


def _standardized(lengths: Floats) -> Floats:
    """Standardized logarithms around their median; all 0 for equal lengths, as of unit vectors."""
    usual = np.median(lengths)
    logarithms = np.log(np.maximum(lengths / (usual if usual > 0 else 1), _TINY))
    spread = logarithms.std()
    if spread < _TINY:
        return np.zeros_like(logarithms)
    return np.clip((logarithms - np.median(logarithms)) / spread, -_FARTHEST, _FARTHEST)
