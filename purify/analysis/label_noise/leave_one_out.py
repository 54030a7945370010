"""Weighted class sums, and leave-one-out sums."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from purify.arrays import Floats, Ids, Vectors


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


def class_sums(vectors: Vectors, label_index: Ids, weights: Floats, classes: int) -> ClassSums:
    """Weighted sums over the rows of each class."""
    order = np.argsort(label_index, kind="stable")
    present, starts = np.unique(label_index[order], return_index=True)
    total = np.zeros((classes, vectors.shape[1]), np.float32)
    weighted = vectors[order] * weights[order, None].astype(np.float32)
    if len(present):
        total[present] = np.add.reduceat(weighted, starts, axis=0)
    return ClassSums(total, np.bincount(label_index, weights=weights, minlength=classes).astype(np.float64))
