"""Images of one set whose picture, or whose person, is in another set, whatever their labels.

Two thresholds. From `same_picture` on, two images are one picture: a choice, as only equal bytes are certain. From a
lower one on, they show one person: measured on images of different labels of one set, as in
`purify.analysis.identities.shared_people`. So images with a wrong label are found whose person is in the other set.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from purify.analysis.identities.stranger_tail import StrangerTail, sure_pairs
from purify.analysis.label_noise.centering import centered
from purify.analysis.search import cosine_index
from purify.analysis.threaded_search import search_blocks
from purify.arrays import Floats, Ids, Mask, Vectors

#: Most pictures of A for one of B.
_MOST = 5
#: Strangers: images of each label, and of each set.
_PER_LABEL = 2
_STRANGERS = 20_000


@dataclass(frozen=True)
class SharedPictures:
    """Row numbers ``a[P]``, ``b[P]`` of images and their cosines, sorted by `b`, nearest first.

    ``same_picture[P]`` tells equal pictures (up to 5 of A for one of B) from equal persons (the nearest of A alone).
    `threshold` is the least cosine of the latter, None without any; ``expected_false`` counts the strangers to expect
    from it on. ``alike_strangers`` checks `same_picture`: the share of images, of a sample, that are as near to one of
    another label of their own set.
    """

    a: Ids
    b: Ids
    cosine: Floats
    same_picture: Mask
    threshold: float | None
    expected_false: float
    alike_strangers: float


def find_shared_pictures(
    embeddings_a: Vectors,
    embeddings_b: Vectors,
    labels: tuple[Ids, Ids],
    *,
    same_picture: float,
    false_share: float = 0.01,
) -> SharedPictures:
    """Find images of B with the picture or the person of an image of A.

    Parameters
    ----------
    embeddings_a, embeddings_b
        [N, D] and [M, D], finite, of one extractor; cosines are around their common mean.
    labels
        Class numbers of the rows of A and of B.
    same_picture
        Cosine above which two images are one picture.
    false_share
        Tolerated share of strangers among the images found by their person.
    """
    split = len(embeddings_a)
    vectors = centered(np.concatenate([embeddings_a, embeddings_b])).vectors
    sides = vectors[:split], vectors[split:]
    known = [_strangers(rows, label) for rows, label in zip(sides, labels, strict=True)]
    tail = StrangerTail.fit(np.concatenate([one.cosines for one in known]), sum(one.pairs for one in known))
    cosine, near = search_blocks(cosine_index(sides[0]), sides[1], _MOST)
    falling = -np.sort(-cosine[:, 0].astype(np.float64))
    expected = tail.expected(falling, len(sides[0]) * len(sides[1]))
    found = sure_pairs(expected, false_share)
    taken = cosine > same_picture
    if found:
        taken[:, 0] |= cosine[:, 0] >= falling[found - 1]
    at, column = np.nonzero(taken)
    return SharedPictures(
        a=near[at, column],
        b=at,
        cosine=cosine[at, column].astype(np.float64),
        same_picture=cosine[at, column] > same_picture,
        threshold=float(falling[found - 1]) if found else None,
        expected_false=float(expected[found - 1]) if found else 0.0,
        alike_strangers=float((np.concatenate([one.nearest for one in known]) > same_picture).mean()),
    )


@dataclass(frozen=True)
class _Strangers:
    """Cosines of near images of different labels of a set, and the number of pairs compared.

    ``nearest[n]`` is the largest cosine of each image to another label's.
    """

    cosines: Floats
    nearest: Floats
    pairs: int


def _strangers(vectors: Vectors, label: Ids) -> _Strangers:
    """Compare up to two images of each label, so that no label hides the others."""
    rows = _few_of_each(label)
    own = label[rows]
    cosine, near = search_blocks(cosine_index(vectors[rows]), vectors[rows], _PER_LABEL + _MOST)
    other = (near >= 0) & (own[near] != own[:, None])
    nearest = np.where(other, cosine, -np.inf).max(axis=1)
    pairs = len(rows) ** 2 - int((np.bincount(own) ** 2).sum())
    return _Strangers(cosine[other].astype(np.float64), nearest.astype(np.float64), pairs)


def _few_of_each(label: Ids) -> Ids:
    """Rows of up to two images of each label, at most `_STRANGERS`, evenly spaced."""
    order = np.argsort(label, kind="stable")
    start = np.searchsorted(label[order], label[order])
    rows = order[np.arange(len(order)) - start < _PER_LABEL]
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), _STRANGERS)).astype(np.int64)]
