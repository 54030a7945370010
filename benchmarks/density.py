"""DBSCAN within each label, as CAST cleans folders of faces: what is outside a label's largest cluster is removed.

Source: Zhu et al., "WebFace260M: A Benchmark Unveiling the Power of Million-Scale Deep Face Recognition", CVPR 2021,
arXiv 2103.04098. It does not tell its thresholds.
"""

from __future__ import annotations

import numpy as np

from benchmarks.rivals import Scores
from benchmarks.scenarios import Truth
from benchmarks.vectors import LabeledVectors
from purify.arrays import Mask, Vectors

#: Radii in cosine distance.
SWEEP = tuple(round(0.2 + 0.05 * step, 2) for step in range(16))
_UNTUNED = 0.5
#: The fewest images that are a cluster: with more, labels of two could have none.
_LEAST = 2


def largest_clusters(data: LabeledVectors, truth: Truth) -> Scores:
    """The largest cluster of each label at the radius of the best F1 by `truth`: an upper bound of the method.

    Without wrong labels to find, the radius is 0.5. Samples are ranked by the share of the radii at which they are
    kept.
    """
    kept = np.stack([in_largest_cluster(data, radius) for radius in SWEEP])
    f1 = [_f1(~row, truth) for row in kept]
    best = int(np.nanargmax(f1)) if truth.is_noise.any() else SWEEP.index(_UNTUNED)
    tried = {f"{radius:.2f}": value for radius, value in zip(SWEEP, f1, strict=True)}
    return Scores(kept.mean(axis=0), ~kept[best], "order", sweep=tried if truth.is_noise.any() else None)


def in_largest_cluster(data: LabeledVectors, radius: float) -> Mask:
    """Whether each sample is in the largest cluster of its label; one that is alone under its label always is."""
    order = np.argsort(data.label_index, kind="stable")
    ends = np.cumsum(np.bincount(data.label_index, minlength=data.classes))
    kept = np.ones(len(order), bool)
    for rows in np.split(order, ends[:-1]):
        if len(rows) > 1:
            kept[rows] = _largest(data.vectors[rows], radius)
    return kept


def _largest(vectors: Vectors, radius: float) -> Mask:
    from sklearn.cluster import dbscan

    distances = np.clip(1 - vectors @ vectors.T, 0, 2)
    _, cluster = dbscan(distances, eps=radius, min_samples=_LEAST, metric="precomputed")
    sizes = np.bincount(cluster[cluster >= 0], minlength=1)
    return cluster == sizes.argmax()


def _f1(removed: Mask, truth: Truth) -> float:
    counted = removed & truth.known
    whole = int(counted.sum() + truth.is_noise.sum())
    return 2 * int((counted & truth.is_noise).sum()) / whole if whole else float("nan")
