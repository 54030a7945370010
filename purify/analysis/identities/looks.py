"""Labels of several looks: a product from the front and from behind, a digit written in two ways.

The images of one look have little in common with those of another one, so that the smaller ones seem to show something
else than their label. Told that labels have looks, the rule judges each of them as a label of its own.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from purify.analysis.class_rows import ClassRows, DistinctPictures, canonical_order, nearest_center
from purify.analysis.identities.null_thresholds import sampled_classes
from purify.analysis.identities.split import dense_places
from purify.analysis.label_noise.calibration import Calibration
from purify.analysis.label_noise.mode_seeking import CosineScale
from purify.arrays import Ids, Vectors

#: Looks of a label at most, and the images of one at least: so many, and such a share of those in any look.
_MOST_LOOKS, _LEAST_IMAGES, _LEAST_SHARE = 8, 3, 0.08
_SEED = 1234


def find_looks(vectors: Vectors, label_index: Ids, classes: int, near_duplicate: float) -> tuple[Ids, Ids]:
    """Looks of the labels.

    Parameters
    ----------
    vectors, label_index
        [N, D]: centered unit vectors; [N]: the class of each, in [0, `classes`).
    near_duplicate
        Cosine above which two rows of a class are the same picture.

    Returns
    -------
    look : int64 [N]
        The look of each image, in [0, L). Images far from all looks of their label belong to its first one.
    label_of : int64 [L]
        The class of each look.
    """
    order = canonical_order(vectors, label_index)
    rows = ClassRows(np.ascontiguousarray(vectors, np.float32), label_index, classes, np.ones(len(order)), order)
    number = np.zeros(len(order), np.int64)
    if (sampled := sampled_classes(rows, near_duplicate, np.random.default_rng(_SEED))) is not None:
        pairs, centers, samples = sampled
        for sample in samples:
            members = rows.members(sample.label)
            number[members] = _looks_of(sample, rows.vectors[members], pairs, centers)
    found, look = np.unique(label_index * _MOST_LOOKS + number, return_inverse=True)
    return look.astype(np.int64), found // _MOST_LOOKS


def _looks_of(sample: DistinctPictures, vectors: Vectors, pairs: CosineScale, centers: CosineScale) -> Ids:
    """Number [n] of the look of each of the ``vectors[n, D]`` of a class."""
    places = dense_places(sample, pairs, centers, least=_LEAST_IMAGES, most=_MOST_LOOKS)
    near = nearest_center(vectors, places, centers)
    size = np.bincount(near[near >= 0], minlength=len(places))
    too_few = size < max(_LEAST_IMAGES, _LEAST_SHARE * size.sum())
    return np.where((near < 0) | too_few[near], 0, near)


def of_labels(found: Calibration, look: Ids, label_of: Ids) -> Calibration:
    """Probabilities of the labels from those of their looks: an image of another look of its label is right."""
    target = np.where(found.target >= 0, label_of[found.target], -1)
    own = target == label_of[look]
    p_clean = np.where(own, found.p_clean + found.p_target, found.p_clean)
    return replace(
        found,
        p_clean=p_clean,
        target=np.where(own, -1, target),
        p_target=np.where(own, 0.0, found.p_target),
        noise_share=float(1 - p_clean.mean()),
    )
