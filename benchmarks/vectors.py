"""Labeled vectors, and sums over them shared by the rivals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from purify.arrays import Floats, Ids, Vectors

_CHUNK = 1024


@dataclass(frozen=True)
class LabeledVectors:
    """The input of every rival.

    Attributes
    ----------
    vectors
        float32 [N, D], centered, then scaled to length 1.
    label_index
        Class [N] of the given label, in [0, `classes`).
    classes
        C, the number of labels.
    """

    vectors: Vectors
    label_index: Ids
    classes: int


def unit_rows(vectors: npt.NDArray[np.floating]) -> Vectors:
    """Rows of length 1, float32; rows of zeros stay zeros."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.ascontiguousarray(vectors / np.where(norms > 0, norms, 1), np.float32)


def centered_unit_rows(embeddings: Vectors) -> Vectors:
    """The rows less their mean, of length 1."""
    return unit_rows(embeddings - embeddings.mean(axis=0, dtype=np.float64))


def class_sums(vectors: Vectors, label_index: Ids, classes: int) -> Floats:
    """Sum of the vectors of each class [C, D]; zeros for a class without any."""
    sums = np.zeros((classes, vectors.shape[1]))
    np.add.at(sums, label_index, vectors)
    return sums


def cosine_chunks(vectors: Vectors) -> Iterator[tuple[slice, Vectors]]:
    """Cosines [n, N] of the unit `vectors` to all, chunk by chunk, each with its rows."""
    for start in range(0, len(vectors), _CHUNK):
        rows = slice(start, min(start + _CHUNK, len(vectors)))
        yield rows, vectors[rows] @ vectors.T
