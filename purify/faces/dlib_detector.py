"""dlib's face detectors and landmarks, from packages on this machine (the extra ``faces``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from purify.errors import InputError
from purify.faces.detectors import Face, Picture
from purify.faces.packaged_models import INSTALL, packaged_model

if TYPE_CHECKING:
    import dlib

#: Landmarks of each of the five points: the contours of the eyes, the nose tip, the mouth corners (68-point scheme).
_POINTS = (slice(36, 42), slice(42, 48), slice(30, 31), slice(48, 49), slice(54, 55))
_MIN_SCORE, _SURE = 0.0, 0.5
#: The network for turned and covered faces takes a second for a picture of this many pixels.
_NETWORK_SIDE = 400
_NETWORK_SCORE = 0.6


class DlibDetector:
    """dlib's HOG detector (upright faces of 80 pixels or more) with 68 landmarks; its network for a second look.

    King, "Max-margin object detection", 2015; Kazemi and Sullivan, "One millisecond face alignment", 2014.
    InputError if the packages are not installed.
    """

    def __init__(self, min_score: float | None = None) -> None:
        self._dlib = _import()
        self._min_score = _MIN_SCORE if min_score is None else min_score
        self._find = self._dlib.get_frontal_face_detector()
        self._landmarks = self._dlib.shape_predictor(str(packaged_model("shape_predictor_68_face_landmarks.dat")))
        self._network: Any = None
        self.name = f"dlib {self._dlib.__version__} >= {self._min_score:g}"
        self.sure = _SURE
        self.again_side = _NETWORK_SIDE

    def __call__(self, picture: Picture) -> Sequence[Face]:
        """See `Detector`."""
        boxes, scores, _ = self._find.run(picture, 0, self._min_score)
        return [self._face(picture, box, score) for box, score in zip(boxes, scores, strict=True)]

    def look_again(self, picture: Picture) -> Sequence[Face]:
        """See `ThoroughDetector`; the scores are the network's."""
        if self._network is None:
            model = packaged_model("mmod_human_face_detector.dat")
            self._network = self._dlib.cnn_face_detection_model_v1(str(model))
        found = [one for one in self._network(picture, 0) if one.confidence >= _NETWORK_SCORE]
        return [self._face(picture, one.rect, one.confidence) for one in found]

    def _face(self, picture: Picture, box: dlib.rectangle, score: float) -> Face:
        parts = np.array([[part.x, part.y] for part in self._landmarks(picture, box).parts()], np.float64)
        points = np.stack([parts[some].mean(0) for some in _POINTS])
        return Face((box.left(), box.top(), box.right() + 1, box.bottom() + 1), float(score), points)


def _import() -> Any:
    try:
        import dlib
    except ImportError as error:
        raise InputError(f"faces in photos are found by dlib, which is not installed; {INSTALL}") from error
    return dlib
