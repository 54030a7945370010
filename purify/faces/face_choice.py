"""Which face of a photo is meant, and how far it is turned away."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from purify.faces.detectors import Face, Points

#: Half the distance of the eyes over the depth of the nose tip before them, of a mean head.
_EYE_TO_NOSE_DEPTH = 1.2


def by_prominence(faces: Sequence[Face], width: int, height: int) -> list[Face]:
    """The faces of a photo, the largest and most central first.

    Of a face counts the area of its box times ``1 - d``, where d is the distance of its center from the middle of the
    photo, as a share of that of a corner.
    """
    return sorted(faces, key=lambda face: -_prominence(face, width, height))


def _prominence(face: Face, width: int, height: int) -> float:
    left, top, right, bottom = face.box
    away = math.hypot((left + right - width) / 2, (top + bottom - height) / 2) / (math.hypot(width, height) / 2)
    return (right - left) * (bottom - top) * max(0.0, 1 - away)


def yaw_of(points: Points) -> float:
    """Degrees by which the face with ``points[5, 2]`` is turned to the right of the picture; estimated, +-90 at most.

    The nose tip lies before the plane of eyes and mouth, so a turn moves it from their middle: by the tangent of the
    angle, for a head of mean proportions.
    """
    left, right, nose = points[:3]
    across = right - left
    width = float(np.hypot(*across)) or 1.0
    middle = (left + right + points[3] + points[4]) / 4
    return math.degrees(math.atan(2 * float((nose - middle) @ across) / width**2 * _EYE_TO_NOSE_DEPTH))
