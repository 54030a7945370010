"""The search for faces in a photo of any size: on a reduced or enlarged copy, then enlarged more, then turned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from purify.faces.detectors import Detector, Face, Picture, Points, ThoroughDetector

#: Least and most length of the longer side of the copy that is searched; a small photo is enlarged to the least.
_LEAST_SIDE, _MOST_SIDE = 800, 1600
#: Enlarged at most by this, since there is no more to see.
_MOST_ENLARGED = 4.0
#: Scale of a further copy of turned photos.
_OTHER_SCALE = 0.8
#: Turns by a quarter, counterclockwise, in the order of the search; photos from phones lie on either side.
_TURNS = (1, 3, 2)


def find_faces(detector: Detector, photo: Picture) -> list[Face]:
    """All faces in ``photo[H, W, 3]``, in its own pixels, best first.

    Upright faces in a copy of 800 to 1,600 pixels; where there is none, in one twice as large, for small faces; then
    turned by a quarter or a half; then by the detector's second look, if it has one. The first step that is sure of a
    face decides, else the first with any; of the turns, the one with the best score.
    """
    doubtful: Sequence[Face] = ()
    for faces, sure in _steps(detector, photo):
        if _best(faces) >= sure:
            return _sorted(faces)
        doubtful = doubtful or faces
    return _sorted(doubtful)


def _sorted(faces: Sequence[Face]) -> list[Face]:
    return sorted(faces, key=lambda face: -face.score)


def _best(faces: Sequence[Face]) -> float:
    return max((face.score for face in faces), default=-np.inf)


def _steps(detector: Detector, photo: Picture) -> Iterator[tuple[Sequence[Face], float]]:
    """The faces of each step, and the score from which it is sure."""
    side = max(photo.shape[:2])
    scale = min(float(np.clip(1.0, _LEAST_SIDE / side, _MOST_SIDE / side)), _MOST_ENLARGED)
    copy = _resized(photo, scale)
    found = _searched(detector, photo, copy)
    yield found, detector.sure
    copies = [copy]
    if not found and (larger := min(2 * scale, _MOST_ENLARGED)) > scale:
        copies.append(_resized(photo, larger))
        yield _searched(detector, photo, copies[-1]), detector.sure
    copies.append(_resized(photo, scale * _OTHER_SCALE))  # a face that one scale misses, another may show
    for some in copies:
        turned = [_turned_back(detector(_turn(some, turn)), some, turn) for turn in _TURNS]
        yield [_rescaled(face, photo, some) for face in max(turned, key=_best)], detector.sure
    if isinstance(detector, ThoroughDetector):
        small = _resized(photo, min(scale, detector.again_side / side))
        yield [_rescaled(face, photo, small) for face in detector.look_again(small)], -np.inf


def _searched(detector: Detector, photo: Picture, copy: Picture) -> Sequence[Face]:
    return [_rescaled(face, photo, copy) for face in detector(copy)]


def _resized(photo: Picture, scale: float) -> Picture:
    height, width = photo.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if size == (width, height):
        return photo
    return np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))


def _rescaled(face: Face, photo: Picture, copy: Picture) -> Face:
    """A face of `copy` in the pixels of `photo`."""
    ratio = np.array(photo.shape[1::-1]) / copy.shape[1::-1]
    left, top, right, bottom = (np.array(face.box) * np.tile(ratio, 2)).tolist()
    return replace(face, box=(left, top, right, bottom), points=(face.points + 0.5) * ratio - 0.5)


def _turn(picture: Picture, turn: int) -> Picture:
    return np.ascontiguousarray(np.rot90(picture, turn))


def _turned_back(faces: Sequence[Face], picture: Picture, turn: int) -> list[Face]:
    """Faces of a turned `picture` in the pixels of the picture itself; the order of the points stays the face's own."""
    height, width = picture.shape[:2]

    def back(points: Points) -> Points:
        x, y = points[:, 0], points[:, 1]
        match turn:
            case 1:
                return np.stack([width - 1 - y, x], 1)
            case 2:
                return np.stack([width - 1 - x, height - 1 - y], 1)
            case _:
                return np.stack([y, height - 1 - x], 1)

    def box(face: Face) -> tuple[float, float, float, float]:
        corners = back(np.array(face.box).reshape(2, 2) - 0.5) + 0.5
        (left, top), (right, bottom) = corners.min(0).tolist(), corners.max(0).tolist()
        return left, top, right, bottom

    return [replace(face, box=box(face), points=back(face.points)) for face in faces]
