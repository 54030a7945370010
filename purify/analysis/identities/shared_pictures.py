"""Pictures that are in two sets: pairs of images with nearly equal embeddings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from purify.analysis.label_noise.centering import centered
from purify.analysis.search import cosine_index, one_thread, row_chunks
from purify.arrays import Floats, Ids, Vectors

#: Most pictures of A for one of B.
_MOST = 5


@dataclass(frozen=True)
class SharedPictures:
    """Row numbers ``a[P]``, ``b[P]`` of equal pictures and their cosines, sorted by `b`, nearest first.

    ``strangers`` counts images whose nearest image of another label in their own set is as near: a check of the
    threshold, since few of these are one picture.
    """

    a: Ids
    b: Ids
    cosine: Floats
    strangers: int


def find_shared_pictures(
    embeddings_a: Vectors, embeddings_b: Vectors, labels: tuple[Ids, Ids], *, same_picture: float
) -> SharedPictures:
    """Find images of B with a cosine above `same_picture` to up to 5 images of A, around the mean of both sets.

    ``labels`` are the class numbers of the rows of A and of B.
    """
    split = len(embeddings_a)
    vectors = centered(np.concatenate([embeddings_a, embeddings_b])).vectors
    a, b = vectors[:split], vectors[split:]
    cosine, near = _nearest(a, b)
    at, column = np.nonzero((cosine > same_picture) & (near >= 0))
    strangers = sum(
        _alike_strangers(rows, label, same_picture) for rows, label in ((a, labels[0]), (b, labels[1])) if len(rows)
    )
    return SharedPictures(near[at, column], at, cosine[at, column].astype(np.float64), strangers)


def _nearest(among: Vectors, queries: Vectors) -> tuple[Vectors, Ids]:
    """Cosines and numbers of the `_MOST` nearest of `among` to each query, padded with -1."""
    index = cosine_index(among)
    cosine = np.full((len(queries), _MOST), -1, np.float32)
    near = np.full((len(queries), _MOST), -1, np.int64)
    width = min(_MOST, len(among))
    for rows in row_chunks(len(queries)):
        with one_thread():
            cosine[rows, :width], near[rows, :width] = index.search(queries[rows], width)
    return cosine, near


def _alike_strangers(vectors: Vectors, label: Ids, same_picture: float) -> int:
    """Number of images with an image of another label above the threshold among their nearest."""
    cosine, near = _nearest(vectors, vectors)
    other = (near >= 0) & (label[near] != label[:, None])
    return int(((cosine > same_picture) & other).any(axis=1).sum())
