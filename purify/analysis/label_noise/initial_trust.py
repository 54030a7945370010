"""Initial trust: the images in the densest region of each class, or those that the trained head recognizes."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from purify.analysis.label_noise.halves import without_second_people
from purify.analysis.label_noise.leave_one_out import class_sums
from purify.analysis.label_noise.mode_seeking import CosineScale, cosine_scale, densest, scale_between
from purify.analysis.search import row_cosines, unit
from purify.arrays import Floats, Ids, Mask, Vectors

#: The densest region of a class holds the images with more than this weight (of `CosineScale`).
_CORE = 0.5
#: Minimum share of images in the densest regions; barely trained networks have less than half of theirs there.
_LEAST_DENSE = 0.2
_MOST_ROWS = 400
_SCALE_PAIRS = 40_000
_LEAVE_OUT_STEPS = 2
#: Minimum weight of an image, so that a class of distrusted images alone still has a center.
DISTRUSTED = 1e-3


def densest_places(vectors: Vectors, label_index: Ids, classes: int, rng: Generator) -> Floats:
    """1 for centered unit ``vectors[N, D]`` in the densest region of their class, else 0; at least one 1 per class.

    The vectors are of different pictures. With few classes, what different people look like is hardly known, and the
    region may be too small to be of use; then the half of each class nearest to its mode is taken. Of a region that
    holds two people, the larger half counts.
    """
    left, right = rng.integers(0, len(label_index), (2, _SCALE_PAIRS))
    scale = scale_between(vectors, label_index, left, right)
    assert scale is not None, "images of a single label"
    centers = _modes(vectors, label_index, classes, scale, rng)
    every, other = np.arange(len(vectors)), _another_label(label_index, rng)
    own = row_cosines(vectors, every, centers, label_index)
    for _ in range(_LEAVE_OUT_STEPS):
        scale = cosine_scale(row_cosines(vectors, every, centers, other))
        weight = scale.weight(own).astype(np.float64)
        sums = class_sums(vectors, label_index, weight, classes)
        centers = unit(sums.total)
        # Leave one out: an image is near a center it contributed to, whoever it shows.
        own = sums.cosines_without(label_index, vectors, weight)
    weight = cosine_scale(row_cosines(vectors, every, centers, other)).weight(own).astype(np.float64)
    best = _is_best(own, label_index, classes)
    dense = (weight > _CORE) | best
    if dense.mean() < _LEAST_DENSE:
        dense = _is_in_better_half(own, label_index) | best
    return without_second_people(vectors, label_index, classes, dense).astype(np.float64)


def _is_in_better_half(values: Vectors, label_index: Ids) -> Mask:
    """Mask [N] of the images with at least the median value of their class."""
    order = np.lexsort((values, label_index))
    size = np.bincount(label_index)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order)) - np.repeat(np.cumsum(size) - size, size)
    half: Mask = place >= size[label_index] // 2
    return half


def recognized_places(margin: Floats, label_index: Ids, classes: int) -> Floats:
    """1 for images of positive ``margin[N]`` (see `LearnedLabels`), else 0; at least one 1 per class."""
    return ((margin > 0) | _is_best(margin, label_index, classes)).astype(np.float64)


def _modes(vectors: Vectors, label_index: Ids, classes: int, scale: CosineScale, rng: Generator) -> Vectors:
    """Center [C, D] of the densest region of each class; zeros for a class without images."""
    order = np.argsort(label_index, kind="stable")
    bounds = np.searchsorted(label_index[order], np.arange(classes + 1))
    centers = np.zeros((classes, vectors.shape[1]), np.float32)
    for label in range(classes):
        members = order[bounds[label] : bounds[label + 1]]
        if len(members) > _MOST_ROWS:
            members = np.sort(rng.choice(members, _MOST_ROWS, replace=False))
        if len(members):
            found = vectors[members]
            center = densest(found, scale)
            centers[label] = found[0] if center is None else center
    return centers


def _another_label(label_index: Ids, rng: Generator) -> Ids:
    """A random other label, with images, for each image."""
    present = np.unique(label_index)
    place = np.searchsorted(present, label_index)
    return present[(place + rng.integers(1, len(present), len(label_index))) % len(present)]


def _is_best(values: Floats | Vectors, label_index: Ids, classes: int) -> Mask:
    """Mask [N] of the images with the largest value of their class."""
    best = np.full(classes, -np.inf)
    np.maximum.at(best, label_index, values)
    return values >= best[label_index]
