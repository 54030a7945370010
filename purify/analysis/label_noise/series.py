"""Series of pictures: frames of a video, a burst, augmented copies, of which each label has several.

The images of a series are much more alike than those of a person on different occasions. Judged one by one, they vouch
for each other, and a wrong series looks like a person of its own. So a series is judged as one picture.

In other sets, the images of a label that are nearest to each other form one group, its right ones, and hardly any of
the others have a mate among themselves. In sets of series nearly all have. So have sets of things that are seen from
several sides, whose images vary more, and find their mates under other labels where they lack them under their own.
"""

from __future__ import annotations

import numpy as np

from purify.analysis.label_noise.mode_seeking import cosines_between
from purify.analysis.search import vector_blocks
from purify.arrays import Floats, Ids, Mask, Vectors

#: Labels that are looked at, and images of each; labels of fewer images can't show several series.
_LABELS, _IMAGES, _LEAST_IMAGES = 300, 200, 4
#: The two largest groups of a label may be its right images, and those of one other person.
_OTHERS = 2
#: Share of the remaining images with a mate among themselves: on faces 0.0 to 0.09, with series 0.5 to 1; and the share
#: of all images that these have to be, to tell anything.
_WITH_MATE, _REMAINING = 0.4, 0.05
#: Maximum share of the pairs of different labels that are as near as the images of a series.
_RARE, _PAIRS = 0.001, 100_000
#: Maximum distance within a series (frames of faces: 0.07), and maximum share, of the images without a mate under their
#: label, of those with one under another (0.1 to 0.25; where sides of things were taken for series, 0.75): wrong images
#: have their like elsewhere as of one person, hardly as of one series. So many of them are looked at.
_FARTHEST, _ELSEWHERE, _ALONE = 0.25, 0.4, 500
_TINY = 1e-9


def series_distance(vectors: Vectors, label_index: Ids) -> float | None:
    """Distance (1 - cosine) below which two images of a label are of one series; None: there are no series.

    Parameters
    ----------
    vectors
        [N, D]: centered unit vectors.
    label_index
        [N]: the label of each.
    """
    sets = _sampled(label_index)
    if not sets:
        return None
    links = [_link_lengths(vectors[rows]) for rows in sets]
    limit = float(np.exp(_valley(np.sort(np.log(np.maximum(np.concatenate(links), _TINY))))))
    if limit > _FARTHEST:
        return None
    sizes = [_group_sizes(lengths, limit)[_OTHERS:] for lengths in links]
    remaining = sum(int(size.sum()) for size in sizes)
    mated = sum(int(size[size > 1].sum()) for size in sizes)
    if remaining < _REMAINING * sum(map(len, sets)) or mated < _WITH_MATE * remaining:
        return None
    if not _are_rare(vectors, label_index, limit) or _at_home_elsewhere(vectors, label_index, sets, limit):
        return None
    return limit


def _sampled(label_index: Ids) -> list[Ids]:
    """Rows of some labels; of a large one, those that follow each other, lest series be torn apart."""
    order = np.argsort(label_index, kind="stable")
    size = np.bincount(label_index)
    start = np.cumsum(size) - size
    labels = np.flatnonzero(size >= _LEAST_IMAGES)
    labels = labels[np.unique(np.linspace(0, len(labels) - 1, min(_LABELS, len(labels))).astype(np.int64))]
    return [order[start[at] : start[at] + min(size[at], _IMAGES)] for at in labels.tolist()]


def _link_lengths(vectors: Vectors) -> Vectors:
    """Lengths [n - 1] of the links of the minimum spanning tree (single linkage), in the order of Prim's algorithm."""
    distance = 1 - vectors @ vectors.T
    nearest = distance[0].copy()
    nearest[0] = np.inf
    inside = np.zeros(len(vectors), np.bool_)
    inside[0] = True
    lengths = np.empty(len(vectors) - 1, np.float32)
    for place in range(len(lengths)):
        joining = int(np.argmin(nearest))
        lengths[place] = nearest[joining]
        inside[joining] = True
        nearest = np.where(inside, np.inf, np.minimum(nearest, distance[joining]))
    return lengths


def _valley(values: Floats) -> float:
    """Limit between the two classes of sorted values [n] with the largest variance between them (Otsu)."""
    if values[0] == values[-1]:
        return float(values[0])
    below = np.arange(1, len(values))
    total = np.cumsum(values)[:-1]
    rest = len(values) - below
    between = below * rest * ((values.sum() - total) / rest - total / below) ** 2
    at = int(np.argmax(between))
    return float(values[at] + values[at + 1]) / 2


def _at_home_elsewhere(vectors: Vectors, label_index: Ids, sets: list[Ids], limit: float) -> bool:
    """Whether many images without a mate under their own label have one under another."""
    alone = np.concatenate([rows[_has_no_mate(vectors[rows], limit)] for rows in sets])
    alone = alone[np.unique(np.linspace(0, len(alone) - 1, min(_ALONE, len(alone))).astype(np.int64))]
    shown, found = vectors[alone], np.zeros(len(alone), np.bool_)
    for rows, block in vector_blocks(vectors):
        other = label_index[rows][:, None] != label_index[alone]
        found |= ((1 - block @ shown.T < limit) & other).any(axis=0)
    return bool(found.sum() > _ELSEWHERE * len(found))


def _has_no_mate(vectors: Vectors, limit: float) -> Mask:
    """Mask [n] of the vectors from which all others are as far as `limit`."""
    near = 1 - vectors @ vectors.T < limit
    np.fill_diagonal(near, False)
    alone: Mask = np.logical_not(near.any(axis=1))
    return alone


def _group_sizes(lengths: Vectors, limit: float) -> Ids:
    """Sizes of the groups that are left without the links from `limit` on, the largest first.

    As the nearest image joins next, a long link is only taken when the group before it is complete.
    """
    ends = np.flatnonzero(lengths >= limit) + 1
    return np.sort(np.diff(ends, prepend=0, append=len(lengths) + 1))[::-1]


def _are_rare(vectors: Vectors, label_index: Ids, limit: float) -> bool:
    """Whether hardly any two images of different labels are as near as `limit`."""
    pairs = np.random.default_rng(0).integers(0, len(vectors), (2, _PAIRS))
    distance = 1 - cosines_between(vectors, label_index, *pairs)
    return not len(distance) or float((distance < limit).mean()) <= _RARE
