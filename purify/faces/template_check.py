"""A look at a few images: whether they show faces, aligned to the field's five-point template.

dlib's extractor takes the eyes where the template has them. Drawings, patterns, uncropped photos and crops by another
template don't fit, and would get meaningless embeddings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from purify.faces.packaged_models import frontal_detector, packaged_model

#: Side of the crops to look at: dlib's detector finds faces from 80 pixels on, and wants some room around them.
CHECK_SIDE = 168
_BORDER = 56
#: The template: left and right eye in a crop.
_EYES = np.array([[38.2946, 51.6963], [73.5318, 51.5014]]) * CHECK_SIDE / 112
#: Eyes of an aligned face lie within this share of the side of the template's: of turned heads the corners of the eyes,
#: as they are found, are off by some.
_TOLERANCE = 0.08 * CHECK_SIDE
_LANDMARKS = "shape_predictor_5_face_landmarks.dat"


def are_aligned(crops: Iterable[npt.NDArray[np.uint8]]) -> Iterator[bool]:
    """Whether each of ``crops[168, 168, 3]`` uint8 RGB shows a face with its eyes where the template has them."""
    import dlib

    detector, predictor = frontal_detector(), dlib.shape_predictor(str(packaged_model(_LANDMARKS)))
    for crop in crops:
        image = np.pad(crop, ((_BORDER, _BORDER), (_BORDER, _BORDER), (0, 0)), mode="edge")
        eyes = [_eyes(predictor(image, box)) for box in detector(image)]
        yield any(np.abs(pair - _BORDER - _EYES).max() <= _TOLERANCE for pair in eyes)


def _eyes(landmarks: object) -> npt.NDArray[np.float64]:
    """Centers of both eyes, the left one of the image first, from the corners that dlib finds."""
    corners = np.array([(point.x, point.y) for point in landmarks.parts()[:4]], np.float64)  # type: ignore[attr-defined]
    return np.array([corners[2:4].mean(axis=0), corners[0:2].mean(axis=0)])
