"""Templates of IJB-B and IJB-C: many images and video frames of one person as one vector.

The variants are those of InsightFace's scripts (``recognition/arcface_torch/eval_ijbc.py``), named N, D and F.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from purify.arrays import Floats, Ids
from purify.errors import InputError

_CODE = re.compile(r"N([01])D([01])F([01])", re.IGNORECASE)


@dataclass(frozen=True)
class PoolingVariant:
    """How images are weighed in a template.

    Attributes
    ----------
    lengths
        N1: embeddings keep their lengths, which are small for blurred faces; N0: unit vectors.
    detector
        D1: embeddings are multiplied by the detector's score of their face.
    flip
        F1: the embedding of the mirror image is added.
    """

    lengths: bool = True
    detector: bool = True
    flip: bool = True

    @classmethod
    def parse(cls, code: str) -> PoolingVariant:
        """The variant of a code such as ``N1D1F1``; InputError for another text."""
        found = _CODE.fullmatch(code)
        if found is None:
            raise InputError(
                f"{code!r} is no variant of template pooling; expected N0 or N1, D0 or D1, F0 or F1: N1D1F1"
            )
        return cls(*(digit == "1" for digit in found.groups()))

    @property
    def code(self) -> str:
        """The code, such as ``N1D1F1``."""
        return f"N{self.lengths:d}D{self.detector:d}F{self.flip:d}"


@dataclass(frozen=True, eq=False)
class Templates:
    """Unit vectors float64[T, D] of the templates with the numbers ``ids[T]``, which rise."""

    ids: Ids
    vectors: Floats

    def rows(self, wanted: Ids, *, named: str) -> Ids:
        """Rows of the templates `wanted`; InputError, calling their list `named`, if one has no images."""
        position = np.searchsorted(self.ids, wanted).clip(max=max(len(self.ids) - 1, 0))
        lost = wanted[self.ids[position] != wanted] if len(self.ids) else wanted
        if len(lost):
            raise InputError(f"{named}: template {lost[0]} has no image ({len(np.unique(lost))} such templates)")
        return position


def pool_templates(
    features: Floats, template: Ids, media: Ids, detector_score: Floats | None, variant: PoolingVariant
) -> Templates:
    """Pool the images of each template: the frames of a medium are averaged, media are summed, the sum is normalized.

    ``features[N, D]`` are of N images with their ``template[N]``, ``media[N]`` and ``detector_score[N]`` (None is
    allowed for D0); the mirror images of F1 are in the features already. A template whose sum is zero stays zero.
    """
    weighed = np.asarray(features, np.float64)
    if not variant.lengths:
        weighed = unit_rows(weighed)
    if variant.detector:
        if detector_score is None:
            raise InputError(f"{variant.code}: D1 needs the detector's scores; give their file, or take D0")
        weighed = weighed * detector_score[:, None]
    order = np.lexsort((media, template))
    template, media, weighed = template[order], media[order], weighed[order]
    starts = np.flatnonzero(np.r_[True, (np.diff(template) != 0) | (np.diff(media) != 0)])
    frames = np.diff(np.r_[starts, len(template)])
    means = np.add.reduceat(weighed, starts) / frames[:, None]
    of_medium = template[starts]
    first = np.flatnonzero(np.r_[True, np.diff(of_medium) != 0])
    return Templates(of_medium[first], unit_rows(np.add.reduceat(means, first)))


def unit_rows(vectors: Floats) -> Floats:
    """Rows of length 1; zeros stay."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float64).tiny)
