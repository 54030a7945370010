"""Similarity transforms of faces to the field's template, and crops by them.

Coordinates are those of pixel centers: the first pixel is at (0, 0).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from purify.faces.detectors import Picture, Points

#: Side in pixels of the template.
TEMPLATE_SIDE = 112
#: Eyes, nose tip and mouth corners in a crop of 112 pixels, as ArcFace's authors publish them (insightface
#: ``face_align.py``).
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
#: Samples of the photo per crop pixel and direction: a pixel is the mean of its area.
_SAMPLES = 2


@dataclass(frozen=True, eq=False)
class Similarity:
    """``y = matrix @ x + shift``: ``matrix[2, 2]`` is a rotation times a scale."""

    matrix: npt.NDArray[np.float64]
    shift: npt.NDArray[np.float64]

    @property
    def scale(self) -> float:
        """Length of a unit vector after the transform."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix))))

    def __call__(self, points: Points) -> Points:
        """``points[N, 2]`` -> their images."""
        return points @ self.matrix.T + self.shift

    def inverse(self) -> Similarity:
        """The transform back."""
        matrix = np.asarray(np.linalg.inv(self.matrix), np.float64)
        return Similarity(matrix, -matrix @ self.shift)


def fit_similarity(source: Points, target: Points) -> Similarity:
    """The similarity from ``source[N, 2]`` to ``target[N, 2]`` with the least sum of squares, without a mirror.

    Umeyama, "Least-squares estimation of transformation parameters between two point patterns", 1991.
    """
    a, b = source - source.mean(0), target - target.mean(0)
    u, sizes, v = np.linalg.svd(b.T @ a / len(source))
    signs = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(v)) or 1.0])
    rotation = u * signs @ v
    spread = a.var(0).sum()
    matrix = np.asarray(rotation * (sizes @ signs / spread if spread else 1.0), np.float64)
    return Similarity(matrix, target.mean(0) - matrix @ source.mean(0))


def to_template(points: Points, size: int) -> Similarity:
    """The similarity from the five points of a face to the template in a crop of `size` pixels."""
    return fit_similarity(points, (TEMPLATE + 0.5) * (size / TEMPLATE_SIDE) - 0.5)


def crop_face(picture: Picture, points: Points, size: int) -> Picture:
    """The face with ``points[5, 2]`` as uint8[size, size, 3], from the picture's own pixels; black outside of it.

    Shrinking takes the mean over each pixel's area, so nothing aliases; enlarging interpolates bicubically.
    """
    back = to_template(points, size).inverse()
    region, corner = _around(picture, back, size)
    factor = max(1, int(back.scale))
    image = Image.fromarray(region)
    if factor > 1:
        image = image.reduce(factor)
    # Pillow's coordinates begin at the corner of the first pixel, half a pixel before its center.
    matrix = back.matrix / (factor * _SAMPLES)
    shift = (back(np.full((1, 2), -0.5))[0] + 0.5 - corner) / factor
    side = size * _SAMPLES
    data = (*matrix[0], shift[0], *matrix[1], shift[1])
    large = image.transform((side, side), Image.Transform.AFFINE, data, Image.Resampling.BICUBIC)
    return np.asarray(large.reduce(_SAMPLES))


def _around(picture: Picture, back: Similarity, size: int) -> tuple[Picture, npt.NDArray[np.float64]]:
    """The part of the picture that a crop shows, with a margin, and the corner of that part; padded with black."""
    corners = back(np.array([[-0.5, -0.5], [size, -0.5], [-0.5, size], [size, size]]))
    margin = 2 * back.scale + 3
    left, top = np.floor(corners.min(0) - margin).astype(int)
    right, bottom = np.ceil(corners.max(0) + margin).astype(int)
    inner = picture[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    part = np.zeros((bottom - top, right - left, 3), np.uint8)
    if inner.size:
        y, x = max(-top, 0), max(-left, 0)
        part[y : y + inner.shape[0], x : x + inner.shape[1]] = inner
    return part, np.array([left, top], np.float64)
