"""Pictures that are in two sets: pairs of images with nearly equal embeddings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from purify.analysis.label_noise.centering import centered
from purify.analysis.search import cosine_index
from purify.analysis.threaded_search import search_blocks
from purify.arrays import Floats, Ids, Mask, Vectors

#: Most pictures of A for one of B.
_MOST = 5
#: Images of each set on which the threshold is checked.
_CHECKED = 20_000


@dataclass(frozen=True)
class SharedPictures:
    """Row numbers ``a[P]``, ``b[P]`` of equal pictures and their cosines, sorted by `b`, nearest first.

    ``alike_strangers`` checks the threshold: the share of images (of a sample) with an image of another label of their
    own set as near as that; few of these should be one picture.
    """

    a: Ids
    b: Ids
    cosine: Floats
    alike_strangers: float


def find_shared_pictures(
    embeddings_a: Vectors, embeddings_b: Vectors, labels: tuple[Ids, Ids], *, same_picture: float
) -> SharedPictures:
    """Find images of B with a cosine above `same_picture` to up to 5 images of A, around the mean of both sets.

    ``labels`` are the class numbers of the rows of A and of B.
    """
    split = len(embeddings_a)
    vectors = centered(np.concatenate([embeddings_a, embeddings_b])).vectors
    sides = vectors[:split], vectors[split:]
    index = cosine_index(sides[0])
    cosine, near = search_blocks(index, sides[1], _MOST)
    at, column = np.nonzero(cosine > same_picture)
    alike = [_have_alike_strangers(rows, label, same_picture) for rows, label in zip(sides, labels, strict=True)]
    share = float(np.concatenate(alike).mean())
    return SharedPictures(near[at, column], at, cosine[at, column].astype(np.float64), share)


def _have_alike_strangers(vectors: Vectors, label: Ids, same_picture: float) -> Mask:
    """Whether images, evenly spaced, have one of another label above the threshold among their nearest."""
    rows = np.linspace(0, len(vectors) - 1, min(len(vectors), _CHECKED)).astype(np.int64)
    cosine, near = search_blocks(cosine_index(vectors), vectors[rows], _MOST)
    alike: Mask = ((cosine > same_picture) & (label[near] != label[rows, None])).any(axis=1)
    return alike
