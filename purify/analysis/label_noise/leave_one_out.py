"""Weighted class sums, and leave-one-out sums."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from purify.arrays import Floats, Ids, Vectors

#: Smallest weight, and smallest length of a sum, that counts as more than rounding.
_TINY = 1e-6


@dataclass(frozen=True)
class ClassSums:
    """Of C classes: ``total[C, D]``, the weighted sum of their vectors, and ``count[C]``, the sum of the weights."""

    total: Vectors
    count: Floats

    def means(self) -> Vectors:
        """Weighted means [C, D]; zeros for a class without weight."""
        return (self.total / np.maximum(self.count, np.finfo(np.float32).tiny)[:, None]).astype(np.float32)

    def without(self, labels: Ids, vectors: Vectors, weights: Floats) -> tuple[Vectors, Floats]:
        """Sums [n, D] and counts [n] of the classes ``labels[n]`` without ``vectors[n, D]`` of these weights."""
        total = self.total[labels] - weights[:, None].astype(np.float32) * vectors
        return total, np.maximum(self.count[labels] - weights, 0)

    def cosines_without(self, label_index: Ids, vectors: Vectors, weights: Floats) -> Vectors:
        """Cosine [N] of each of the unit ``vectors[N, D]`` to the sum of its class without it; 0 without others."""
        product = np.empty(len(vectors))
        for label, rows in segments(label_index):
            product[rows] = vectors[rows] @ self.total[label]
        squares = np.einsum("cd,cd->c", self.total, self.total, dtype=np.float64)[label_index]
        length = np.sqrt(np.maximum(squares - weights * (2 * product - weights), 0))
        others = (self.count[label_index] - weights > _TINY) & (length > _TINY)
        cosines = np.zeros(len(vectors), np.float32)
        np.divide(product - weights, length, out=cosines, where=others, casting="unsafe")
        return np.clip(cosines, -1, 1)


def class_sums(vectors: Vectors, label_index: Ids, weights: Floats, classes: int) -> ClassSums:
    """Weighted sums over the rows of each class."""
    total = np.zeros((classes, vectors.shape[1]), np.float32)
    shares = weights.astype(np.float32)
    for label, rows in segments(label_index):
        np.dot(shares[rows], vectors[rows], out=total[label])
    return ClassSums(total, np.bincount(label_index, weights=weights, minlength=classes).astype(np.float64))


def segments(label_index: Ids) -> Iterator[tuple[int, slice | Ids]]:
    """Each label with rows, ascending, and its rows: a slice where the rows are sorted by label, else their numbers."""
    rows = len(label_index)
    if not rows:
        return
    ordered = bool((label_index[1:] >= label_index[:-1]).all())
    order = np.arange(0) if ordered else np.argsort(label_index, kind="stable")
    labels = label_index if ordered else label_index[order]
    starts = np.flatnonzero(np.r_[True, labels[1:] != labels[:-1]][:rows])
    stops = np.append(starts[1:], rows)
    for label, start, stop in zip(labels[starts].tolist(), starts.tolist(), stops.tolist(), strict=True):
        yield label, slice(start, stop) if ordered else order[start:stop]
