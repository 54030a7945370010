"""Face detectors: what they return, and how one is opened by name or file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from purify.errors import InputError

Picture = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float64]

#: Number of landmarks: left eye, right eye, nose tip, left and right mouth corner, left and right in the picture.
FIVE = 5


@dataclass(frozen=True, eq=False)
class Face:
    """A detected face: pixels of the picture, whose first pixel has its center at (0, 0).

    ``box`` is left, top, right, bottom; ``points[5, 2]`` are x and y of the eyes, the nose tip and the mouth corners.
    The ``score`` is on the detector's own scale.
    """

    box: tuple[float, float, float, float]
    score: float
    points: Points

    @property
    def side(self) -> float:
        """The shorter side of the box."""
        left, top, right, bottom = self.box
        return min(right - left, bottom - top)


class Detector(Protocol):
    """Finds upright faces in a picture; for one thread at a time."""

    #: What made the faces, with its version: part of the fingerprint of an alignment.
    name: str
    #: Score from which a face is hardly ever a mistake.
    sure: float

    def __call__(self, picture: Picture) -> Sequence[Face]:
        """All faces in ``picture[H, W, 3]`` (uint8 RGB), best first."""


@runtime_checkable
class ThoroughDetector(Detector, Protocol):
    """A detector with a slower second look at pictures in which it finds nothing."""

    #: Longest side in pixels of the pictures for that look.
    again_side: int

    def look_again(self, picture: Picture) -> Sequence[Face]:
        """Faces in a small copy of a picture, turned ones too."""


def open_detector(file: Path | None, min_score: float | None) -> Detector:
    """The detector in an ONNX file; None: that of the extra ``faces``.

    `min_score` is the least score of a face; None: the detector's usual one. InputError if the packages or the file
    can't be used.
    """
    if file is None:
        from purify.faces.dlib_detector import DlibDetector

        return DlibDetector(min_score)
    if file.suffix != ".onnx":
        raise InputError(f"{file}: not an ONNX file; align.detector takes a YuNet, SCRFD or RetinaFace model (.onnx)")
    from purify.faces.onnx_detectors import OnnxDetector

    return OnnxDetector(file, min_score)
