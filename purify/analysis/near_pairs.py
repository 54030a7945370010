"""Pairs of images that are nearest to each other, and near duplicates among the images of a label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from purify.analysis.nearest_images import NearestImages
from purify.analysis.search import row_chunks, row_cosines
from purify.arrays import Floats, Ids, Mask, Vectors

#: Two images of a label are the same picture only if this many times nearer to each other than usual for a label. In
#: embeddings of a network that has learned the labels by heart, all images of a label are near duplicates otherwise.
_TIMES_NEARER = 15.0
#: Maximum share of the pairs of different labels as near as duplicates. The pairs are images these fractions of the
#: order apart.
_RARE, _DIVISORS = 0.001, (2, 3, 5, 7, 11)
_TINY = 1e-9
#: Pairs of different labels of a set, at least.
_MOST_PAIRS = 1_000_000


@dataclass(frozen=True)
class NearPairs:
    """Pairs of rows, ``first[P] < second[P]``, by ascending ``distance[P]`` (1 - cosine)."""

    first: Ids
    second: Ids
    distance: Floats

    @classmethod
    def of(cls, nearest: NearestImages, label_index: Ids, near_duplicate: float = 0.0) -> NearPairs:
        """Each image and its nearest others; of a label, those with a cosine above `near_duplicate`, else the nearest.

        Of a large set, these are a few million.
        """
        same = np.empty(nearest.rows.shape, np.bool_)
        for part in row_chunks(len(same)):
            same[part] = label_index[nearest.rows[part]] == label_index[part, None]
        wanted = (nearest.rows >= 0) & (~same | (nearest.cosine > near_duplicate))
        others = wanted & ~same
        most = max(_MOST_PAIRS, 2 * len(same))
        if (others_in_all := int(others.sum())) > most:
            limit = np.partition(nearest.cosine[others], others_in_all - most)[others_in_all - most]
            wanted &= same | (nearest.cosine >= limit)
        at, column = np.nonzero(wanted)
        found = nearest.rows[at, column].astype(np.int64)
        # Each pair once, nearest first; ties by row.
        pairs, once = np.unique(np.minimum(at, found) * len(nearest.rows) + np.maximum(at, found), return_index=True)
        distance = np.maximum(1 - nearest.cosine[at, column][once].astype(np.float64), _TINY)
        order = np.argsort(distance, kind="stable")
        first, second = np.divmod(pairs[order], len(nearest.rows))
        return cls(first, second, distance[order])

    def only(self, chosen: Mask) -> NearPairs:
        """The chosen pairs."""
        return NearPairs(self.first[chosen], self.second[chosen], self.distance[chosen])


def duplicates_within_labels(
    near: NearPairs,
    vectors: Vectors,
    label_index: Ids,
    kept: Mask,
    near_duplicate: float,
    pictures: Ids | None = None,
) -> Ids:
    """For each row, an earlier row of the same label that it is a near duplicate of, or -1, [N].

    Only rows that are ``kept[N]`` count; a row that others are duplicates of is none itself. `near_duplicate` is the
    cosine above which two images are the same picture, or more where the images of a label are all much alike. Equal
    numbers of ``pictures[N]`` from 0 on are equal bytes.
    """
    limit = duplicate_distance(vectors, label_index, near_duplicate)
    found = near.only(near.distance < limit)
    first, second = found.first, found.second
    if pictures is not None:
        a, b = equal_pictures(pictures, label_index)
        first, second = np.concatenate([first, a]), np.concatenate([second, b])
    counted = (label_index[first] == label_index[second]) & kept[first] & kept[second]
    first, second = first[counted], second[counted]
    original = np.full(len(label_index), -1, np.int64)
    # By rows, so that a row is settled before its duplicates.
    for at in np.lexsort((first, second)).tolist():
        if original[second[at]] < 0 and original[first[at]] < 0:
            original[second[at]] = first[at]
    return original


def equal_pictures(pictures: Ids, label_index: Ids) -> tuple[Ids, Ids]:
    """Pairs of rows with equal ``pictures[N]`` from 0 on, the lower row first.

    Of each label's rows with a picture, these are the first one and each other, and the first ones of two labels.
    """
    order = np.lexsort((np.arange(len(pictures)), label_index, pictures))
    order = order[pictures[order] >= 0]
    if not len(order):
        return order, order
    picture, label = pictures[order], label_index[order]
    starts = np.r_[True, (picture[1:] != picture[:-1]) | (label[1:] != label[:-1])]
    leader = order[np.maximum.accumulate(np.where(starts, np.arange(len(order)), 0))]
    leaders = order[starts]
    linked = pictures[leaders[1:]] == pictures[leaders[:-1]]
    first = np.concatenate([leader[~starts], leaders[:-1][linked]])
    second = np.concatenate([order[~starts], leaders[1:][linked]])
    return np.minimum(first, second), np.maximum(first, second)


def duplicate_distance(vectors: Vectors, label_index: Ids, near_duplicate: float) -> float:
    """Distance (1 - cosine) of unit ``vectors[N, D]`` below which two images of a label are the same picture.

    That of the cosine `near_duplicate`, or less where a label's images, or those of different labels, come as near.
    """
    order = np.argsort(label_index, kind="stable")
    same, usual = _distances(vectors, label_index, order, 1)
    of_a_label = usual[same]
    limits = [1 - near_duplicate]
    if len(of_a_label):
        limits.append(float(np.median(of_a_label)) / _TIMES_NEARER)
    steps = sorted({max(1, len(order) // divisor) for divisor in _DIVISORS})
    found = [_distances(vectors, label_index, order, step) for step in steps]
    of_different = np.concatenate([distance[~same] for same, distance in found])
    if len(of_different):
        limits.append(float(np.quantile(of_different, _RARE)))
    return max(min(limits), _TINY)


def _distances(vectors: Vectors, label_index: Ids, order: Ids, step: int) -> tuple[Mask, Floats]:
    """Distances of the images `step` apart in `order`, and the mask of those of one label."""
    a, b = order[:-step], order[step:]
    return label_index[a] == label_index[b], (1 - row_cosines(vectors, a, vectors, b)).astype(np.float64)
