"""Mode seeking among the images of one class, and the similarity of two groups of images.

Wrong images pull a class's mean, but not its mode: the weighted mean of the images around the one with the most
similar others. Weights fall to zero where two images are no more similar than images of different classes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from purify.analysis.search import row_cosines, unit
from purify.arrays import Floats, Ids, Mask, Vectors

_ITERATIONS = 6
_TINY = 1e-12


@dataclass(frozen=True)
class CosineScale:
    """Map cosines to weights, calibrated on cosines between different classes.

    `low` is the 95 % quantile of these, `width` its distance from their median.
    """

    low: float
    width: float

    def weight(self, cosines: npt.NDArray[np.floating]) -> Vectors:
        """Cosines -> weights in [0, 1]: 0 up to `low`, 1 from ``low + width``."""
        return np.clip((cosines - self.low) / self.width, 0, 1).astype(np.float32)


def cosine_scale(cosines: npt.NDArray[np.floating]) -> CosineScale:
    """Calibrate on `cosines` between images of different classes."""
    middle, low = np.quantile(cosines, [0.5, 0.95])
    return CosineScale(float(low), max(float(low - middle), _TINY))


def scale_between(vectors: Vectors, label_index: Ids, a: Ids, b: Ids) -> CosineScale | None:
    """Scale of the cosines of the rows ``a[n]`` and ``b[n]`` of different labels; None if there are none."""
    cosines = cosines_between(vectors, label_index, a, b)
    return cosine_scale(cosines) if len(cosines) else None


def cosines_between(vectors: Vectors, label_index: Ids, a: Ids, b: Ids) -> Vectors:
    """Cosines [m] of those of the rows ``a[n]`` and ``b[n]`` that have different labels."""
    apart = label_index[a] != label_index[b]
    return row_cosines(vectors, a[apart], vectors, b[apart])


def densest(rows: Vectors, scale: CosineScale) -> Vectors | None:
    """Unit mode [D] of the unit ``rows[n, D]``, by mean shift from the densest row; None if no two are similar."""
    similar = scale.weight(rows @ rows.T)
    np.fill_diagonal(similar, 0)
    density = similar.sum(axis=1)
    start = int(density.argmax())
    if density[start] <= 0:
        return None
    weights = similar[start]
    weights[start] = 1
    center = unit(weights @ rows)
    for _ in range(_ITERATIONS):
        weights = scale.weight(rows @ center)
        if not weights.any():
            break
        center = unit(weights @ rows)
    return center


def bisect(rows: Vectors) -> Vectors:
    """Unit centers [2, D] of two halves of the unit ``rows[n, D]``, by 2-means; that of the larger half first.

    Starts from the two sides of the longest axis. Returns a single center if a half ends up empty.
    """
    spread = rows - rows.mean(axis=0)
    _, axes = np.linalg.eigh(spread @ spread.T)
    second = axes[:, -1] > 0
    for _ in range(_ITERATIONS):
        if second.all() or not second.any():
            return unit(rows.mean(axis=0))[None]
        centers = unit(np.stack([rows[~second].mean(axis=0), rows[second].mean(axis=0)]))
        nearer = rows @ centers[1] > rows @ centers[0]
        if (nearer == second).all():
            break
        second = nearer
    return centers[::-1] if second.sum() > len(rows) / 2 else centers


def distinct(rows: Vectors, near_duplicate: float) -> Mask:
    """Mask [n] of the unit ``rows[n, D]``, False for near duplicates of earlier rows."""
    repeats = np.tril(rows @ rows.T > near_duplicate, -1)
    return np.logical_not(np.logical_or.reduce(repeats, axis=1))


@dataclass(frozen=True)
class Groups:
    """G groups of images: the mean [G, D] of their unit vectors, and their sizes.

    ``cohesion[G]`` is the mean cosine of two different images of the group; NaN with fewer than two.
    """

    mean: Vectors
    size: Ids
    cohesion: Floats

    def only(self, k: int) -> Groups:
        """Group `k` alone."""
        return Groups(self.mean[[k]], self.size[[k]], self.cohesion[[k]])

    def similarity(self, a: Ids, b: Groups, at: Ids) -> Floats:
        """Similarity of the groups `a` to the groups `at` of `b`, pair by pair.

        The mean cosine between the images of the two, relative to the mean cosine within them: 1 in expectation for
        two random sets of one person's images of any size, by any extractor. It is the cosine of the two centers,
        corrected for attenuation (Spearman, 1904).
        """
        across = row_cosines(self.mean, a, b.mean, at).astype(np.float64)
        within = self.cohesion[a] * b.cohesion[at]
        return across / np.sqrt(np.where(within > 0, within, np.nan))


def stack(members: Iterable[Vectors]) -> Groups:
    """Build a group from each of the ``members``, unit vectors [n, D]."""
    means = ((len(one), one.mean(axis=0, dtype=np.float64) if len(one) else np.zeros(one.shape[1])) for one in members)
    sizes, rows = zip(*means, strict=True)
    size, mean = np.array(sizes, np.int64), np.stack(rows)
    squared = np.einsum("gd,gd->g", mean, mean) * size**2
    cohesion = np.full(len(size), np.nan)
    np.divide(squared - size, size * (size - 1), out=cohesion, where=size > 1)
    return Groups(mean.astype(np.float32), size, cohesion)
