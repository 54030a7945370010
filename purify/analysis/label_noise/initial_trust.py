"""Initial trust: the images in the densest place of each class."""

from __future__ import annotations

import numpy as np

from purify.analysis.label_noise.centering import CenteredEmbeddings
from purify.analysis.label_noise.leave_one_out import class_sums
from purify.analysis.label_noise.mode_seeking import CosineScale, cosine_scale, densest, distinct
from purify.analysis.search import unit
from purify.arrays import Floats, Ids, Vectors

#: The densest place of a class holds the images with at least this weight (of `CosineScale`).
_CORE = 0.5
_MOST_ROWS = 400
_SCALE_PAIRS = 40_000
_LEAVE_OUT_STEPS = 2
#: Weight of images that are not trusted; a class of such images alone still has a center.
_DISTRUSTED = 1e-3


def densest_places(
    embeddings: CenteredEmbeddings,
    label_index: Ids,
    classes: int,
    near_duplicate: float,
    generator: np.random.Generator,
) -> Floats:
    """1 for the images in the densest place of their class, else 0; at least one of each class."""
    vectors, rows = embeddings.vectors, len(label_index)
    left, right = generator.integers(0, rows, (2, _SCALE_PAIRS))
    apart = label_index[left] != label_index[right]
    scale = cosine_scale(np.einsum("nd,nd->n", vectors[left[apart]], vectors[right[apart]]))
    centers = _modes(vectors, label_index, classes, scale, near_duplicate, generator)
    own = np.einsum("nd,nd->n", vectors, centers[label_index])
    other = _another_label(label_index, generator)
    for _ in range(_LEAVE_OUT_STEPS):
        scale = cosine_scale(np.einsum("nd,nd->n", vectors, centers[other]))
        weight = scale.weight(own).astype(np.float64)
        sums = class_sums(vectors, label_index, weight, classes)
        # Without itself: an image that helped to make its center is near it, whoever it shows.
        total, _ = sums.without(label_index, vectors, weight)
        centers, own = unit(sums.total), np.einsum("nd,nd->n", vectors, unit(total))
    weight = cosine_scale(np.einsum("nd,nd->n", vectors, centers[other])).weight(own).astype(np.float64)
    best = np.full(classes, -np.inf)
    np.maximum.at(best, label_index, own)
    return ((weight > _CORE) | (own >= best[label_index])).astype(np.float64)


def _modes(
    vectors: Vectors,
    label_index: Ids,
    classes: int,
    scale: CosineScale,
    near_duplicate: float,
    generator: np.random.Generator,
) -> Vectors:
    """Center [C, D] of the densest place of each class; zeros for a class without images."""
    order = np.argsort(label_index, kind="stable")
    bounds = np.searchsorted(label_index[order], np.arange(classes + 1))
    centers = np.zeros((classes, vectors.shape[1]), np.float32)
    for label in range(classes):
        members = order[bounds[label] : bounds[label + 1]]
        if len(members) > _MOST_ROWS:
            members = np.sort(generator.choice(members, _MOST_ROWS, replace=False))
        if len(members):
            found = vectors[members]
            center = densest(found[distinct(found, near_duplicate)], scale)
            centers[label] = found[0] if center is None else center
    return centers


def _another_label(label_index: Ids, generator: np.random.Generator) -> Ids:
    """For each image a random label that has images and is not its own."""
    present = np.unique(label_index)
    place = np.searchsorted(present, label_index)
    return present[(place + generator.integers(1, len(present), len(label_index))) % len(present)]


def trust_weights(core: Floats, label_index: Ids, classes: int) -> Floats:
    """Weights of the images in the gallery: the best of each class counts in full, none for nothing."""
    best = np.zeros(classes)
    np.maximum.at(best, label_index, core)
    return np.where(core >= best[label_index], 1.0, np.maximum(core, _DISTRUSTED))
