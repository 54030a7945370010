"""Several identities under one label."""

from __future__ import annotations

import numpy as np

from purify.analysis.class_rows import DistinctPictures, nearest_center
from purify.analysis.identities.null_thresholds import LEAST_IMAGES, NullThresholds
from purify.analysis.identities.prototypes import Prototypes
from purify.analysis.label_noise.mode_seeking import CosineScale, Groups, bisect, densest, stack
from purify.arrays import Vectors

#: Minimum share of a further person among the grouped images of the class.
_LEAST_SHARE = 0.04
_MOST_GROUPS = 4
#: Images with less weight for a center than this may form a further group.
_AWAY = 0.5


def identities_of(sample: DistinctPictures, thresholds: NullThresholds, prototypes: Prototypes) -> Vectors:
    """Centers [g, D] of the identities of a class: one, or more if it is mixed.

    A dense region may lie between two similar people, so each is also tried in halves.
    """
    places = dense_places(sample, thresholds.pairs, thresholds.centers, least=LEAST_IMAGES, most=_MOST_GROUPS)
    people = _accepted(sample, places, thresholds, prototypes)
    for k in range(len(people)):
        tried = _accepted(sample, _in_halves(sample, people, k, thresholds), thresholds, prototypes)
        if len(tried) > len(people):
            people = tried
    return people


def _accepted(
    sample: DistinctPictures, centers: Vectors, thresholds: NullThresholds, prototypes: Prototypes
) -> Vectors:
    """The ``centers[g, D]`` of distinct identities that chance does not explain; at least the first one."""
    near = nearest_center(sample.rows, centers, thresholds.centers)
    groups = stack([sample.rows[near == k] for k in range(len(centers))])
    people = [0]
    for k in range(1, len(centers)):
        if _is_further_person(groups, k, people, thresholds):
            people.append(k)
    if len(people) > 1:
        people = [k for k in people if not _is_by_chance(sample, groups, k, thresholds, prototypes)]
    return centers[people] if len(people) > 1 else centers[:1]


def dense_places(
    sample: DistinctPictures, pairs: CosineScale, centers: CosineScale, *, least: int, most: int
) -> Vectors:
    """Centers [g, D] of the densest region, of the densest region away from it, and so on.

    There are at most `most`; the images away from those found have to be at least as many as `least`. `pairs` and
    `centers` are the scales of `NullThresholds`.
    """
    found = [sample.center]
    far = centers.weight(sample.rows @ sample.center) < _AWAY
    while far.sum() >= least and len(found) < most:
        center = densest(sample.rows[far], pairs)
        if center is None:
            break
        found.append(center)
        far &= centers.weight(sample.rows @ center) < _AWAY
    return np.stack(found)


def _in_halves(sample: DistinctPictures, centers: Vectors, k: int, thresholds: NullThresholds) -> Vectors:
    """The ``centers[g, D]`` with center `k` replaced by those of its two halves, the smaller half last."""
    rows = sample.rows[nearest_center(sample.rows, centers, thresholds.centers) == k]
    if len(rows) < 2 * LEAST_IMAGES:
        return centers
    halves = bisect(rows)
    return np.concatenate([centers[:k], halves[:1], centers[k + 1 :], halves[1:]])


def _is_further_person(groups: Groups, k: int, people: list[int], thresholds: NullThresholds) -> bool:
    """Whether group `k` is large and coherent enough, and none of the `people` found before."""
    size = int(groups.size[k])
    if size < max(LEAST_IMAGES, _LEAST_SHARE * groups.size.sum()):
        return False
    similarity = groups.similarity(np.full(len(people), k), groups, np.array(people))
    strangers = int(groups.size.sum() - groups.size[people].sum())
    return bool((similarity <= thresholds.surely_different(size)).all()) and thresholds.is_person(
        float(groups.cohesion[k]), strangers
    )


def _is_by_chance(
    sample: DistinctPictures, groups: Groups, k: int, thresholds: NullThresholds, prototypes: Prototypes
) -> bool:
    """Whether group `k` may be images of one person put into this class by chance."""
    found, similarity = prototypes.alike(groups.only(k))
    alike = found[(similarity > thresholds.different) & (prototypes.labels[found] != sample.label)]
    largest_other = int(np.delete(groups.size, k).max())
    return prototypes.by_chance(int(groups.size[k]), len(sample.rows) - largest_other, alike)
