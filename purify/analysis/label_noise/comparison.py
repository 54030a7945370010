"""Measures of images against images of one label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from purify.analysis.identities.plda import IdentityModel
from purify.analysis.search import unit
from purify.analysis.threaded_search import map_blocks
from purify.arrays import Floats, Ids, Vectors

#: Nearest images of a label averaged.
NEAREST = 3
#: Images beyond this number add no evidence of a person: pictures of one occasion are not independent.
MOST_IMAGES = 20
#: Log ratios are in the hundreds; this brings them to the size of the other features.
_RATIO_UNIT = 50.0
#: Images gathered at a time; few, so that they stay in the cache.
_GATHERED = 4096


@dataclass(frozen=True)
class Comparison:
    """Measures [n] of images against n sets of images.

    ``ratio``: log ratio of `IdentityModel`; ``cosine``: to the mean of the set; ``nearest``: mean cosine to its 3
    nearest images; ``images``: number of its images, by weight.
    """

    ratio: npt.NDArray[np.floating]
    cosine: npt.NDArray[np.floating]
    nearest: npt.NDArray[np.floating]
    images: Floats

    def take(self, at: Any) -> Comparison:
        """The comparisons `at`, an index of NumPy's."""
        return Comparison(self.ratio[at], self.cosine[at], self.nearest[at], self.images[at])

    @classmethod
    def empty(cls, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Comparison:
        """Of a shape, yet without content, to be `put`."""
        ratio, cosine, nearest = (np.empty(shape, dtype) for _ in range(3))
        return cls(ratio, cosine, nearest, np.empty(shape))

    def put(self, at: slice, part: Comparison) -> None:
        """Set the comparisons `at`, in place."""
        for field in fields(self):
            getattr(self, field.name)[at] = getattr(part, field.name)

    @classmethod
    def join(cls, parts: Sequence[Comparison]) -> Comparison:
        """All of the parts, in their order."""
        names = [field.name for field in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


@dataclass(frozen=True)
class ImageTraits:
    """Traits of N images: ``quality[N, 2]``, ``background[N]``, and ``rivals[N, 2]``.

    Background: mean cosine to the 20 nearest labels' centers after the very nearest. An image near to many people is
    less distinctive. Rivals: log ratios of the two labels that claim the image most, its given one apart; the first is
    that of the label ``claimant[N]`` (-1: none).
    """

    quality: Floats
    background: Floats
    rivals: Floats
    claimant: npt.NDArray[np.int32]

    def features(self, rows: Ids, labels: Ids, found: Comparison) -> Floats:
        """Features [n, 16] of a comparison of the images `rows` with the `labels`, for a logistic regression."""
        ratio, size = found.ratio / _RATIO_UNIT, np.log(np.clip(found.images, 1, MOST_IMAGES))
        lead = ratio - self.rivals[rows, (self.claimant[rows] == labels).astype(np.int64)] / _RATIO_UNIT
        length, distance = self.quality[rows].T
        background = self.background[rows]
        measures = [ratio, found.cosine, found.nearest]
        return np.column_stack(
            [
                *measures,
                *(size, background, length, distance),
                *(measure * size for measure in measures),
                *(ratio * length, ratio * distance, ratio * background, size * background),
                *(lead, lead * size),
            ]
        ).astype(np.float64)


def compare_with_sets(vectors: Vectors, model: IdentityModel, rows: Ids, mates: Ids) -> Comparison:
    """Compare the images ``rows[n]`` with the sets ``mates[n, m]``."""
    size = max(1, _GATHERED // mates.shape[1])
    blocks = map_blocks(lambda at: _with_sets(vectors, model, rows[at], mates[at]), len(rows), size)
    return Comparison.join(blocks or [_with_sets(vectors, model, rows, mates)])


def _with_sets(vectors: Vectors, model: IdentityModel, rows: Ids, mates: Ids) -> Comparison:
    images = np.full(len(rows), float(mates.shape[1]))
    own, gathered = vectors[rows], vectors[mates]
    total = gathered.sum(axis=1)
    coordinates = model.coordinates(own)
    ratio = model.log_ratio(coordinates, model.coordinates(total) / np.float32(mates.shape[1]), images)
    cosine = np.einsum("nd,nd->n", own, unit(total))
    single = np.matmul(gathered, own[:, :, None])[:, :, 0]
    nearest = np.sort(single, axis=1)[:, -NEAREST:].mean(axis=1)
    return Comparison(ratio.astype(np.float64), cosine, nearest, images)
