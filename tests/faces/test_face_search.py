"""The search for faces: any size, any side up, and coordinates of the photo itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from purify.faces.detectors import Face, Picture
from purify.faces.face_choice import by_prominence, yaw_of
from purify.faces.face_search import find_faces
from purify.faces.similarity import TEMPLATE

COLORS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255)]


def dotted(height: int, width: int, points: np.ndarray, size: int) -> Picture:
    """A gray picture with a square of each color around the five points."""
    picture = np.full((height, width, 3), 90, np.uint8)
    for (x, y), color in zip(points.round().astype(int), COLORS, strict=True):
        picture[max(0, y - size) : y + size + 1, max(0, x - size) : x + size + 1] = color
    return picture


class DotDetector:
    """Finds the dots of an upright face of at least 60 pixels between eyes and mouth, in pictures as given."""

    name, sure = "dots", 0.5

    def __init__(self, least: float = 60, score: float = 1.0) -> None:
        self.seen: list[tuple[int, int]] = []
        self._least, self._score = least, score

    def __call__(self, picture: Picture) -> Sequence[Face]:
        self.seen.append(picture.shape[:2])
        points = []
        for color in COLORS:
            found = np.argwhere((np.abs(picture.astype(int) - color) < 40).all(-1))
            if not len(found):
                return []
            points.append(found.mean(0)[::-1])
        five = np.array(points)
        if five[3:, 1].mean() - five[:2, 1].mean() < self._least:
            return []
        (left, top), (right, bottom) = five.min(0), five.max(0)
        return [Face((left, top, right + 1, bottom + 1), self._score, five)]


@pytest.mark.parametrize("turn", [0, 1, 2, 3])
@pytest.mark.parametrize(("height", "width", "scale"), [(400, 700, 2.0), (3000, 2000, 9.0), (200, 260, 1.1)])
def test_faces_are_found_in_pixels_of_the_photo(height: int, width: int, scale: float, turn: int) -> None:
    points = TEMPLATE * scale + [0.2 * width, 0.1 * height]
    photo = np.ascontiguousarray(np.rot90(dotted(height, width, points, int(3 * scale)), turn))
    (face,) = find_faces(DotDetector(), photo)
    x, y = points.T
    turned = {0: (x, y), 1: (y, width - 1 - x), 2: (width - 1 - x, height - 1 - y), 3: (height - 1 - y, x)}[turn]
    np.testing.assert_allclose(face.points, np.stack(turned, 1), atol=2.5)
    left, top, right, bottom = face.box
    assert left <= face.points[:, 0].min() + 1
    assert right >= face.points[:, 0].max()
    assert top <= face.points[:, 1].min() + 1
    assert bottom >= face.points[:, 1].max()


def test_small_photos_are_enlarged_and_large_ones_reduced() -> None:
    detector = DotDetector()
    assert len(find_faces(detector, dotted(60, 60, TEMPLATE * 0.45, 2))) == 1
    assert detector.seen == [(240, 240)]
    detector = DotDetector()
    find_faces(detector, np.zeros((4000, 3000, 3), np.uint8))
    assert max(max(size) for size in detector.seen) == 3200
    assert detector.seen[0] == (1600, 1200)


class TwoLooks(DotDetector):
    again_side = 100

    def look_again(self, picture: Picture) -> Sequence[Face]:
        self.looked = picture.shape
        return [Face((10, 10, 50, 50), 0.9, TEMPLATE * 0.3)]


def test_a_second_look_settles_what_the_first_doubts() -> None:
    photo = dotted(400, 400, TEMPLATE * 2 + 50, 5)
    doubtful = TwoLooks(score=0.1)
    (face,) = find_faces(doubtful, photo)
    assert face.score == 0.9
    assert doubtful.looked == (100, 100, 3)
    assert face.box == pytest.approx((40, 40, 200, 200))
    (face,) = find_faces(TwoLooks(score=0.8), photo)
    assert face.score == 0.8
    (face,) = find_faces(DotDetector(score=0.1), photo)  # nothing better: the doubtful one
    assert face.score == 0.1


def test_the_most_prominent_is_large_and_central() -> None:
    def face(x: float, y: float, side: float) -> Face:
        return Face((x - side / 2, y - side / 2, x + side / 2, y + side / 2), 1.0, TEMPLATE)

    large, central, small = face(300, 100, 120), face(200, 150, 110), face(200, 160, 20)
    assert by_prominence([small, large, central], 400, 300) == [central, large, small]
    assert by_prominence([small, face(300, 100, 200), central], 400, 300)[0].side == 200


@pytest.mark.parametrize("degrees", [-60, -25, 0, 40])
@pytest.mark.parametrize("roll", [0, 30, 90])
def test_yaw_of_a_turned_head(degrees: float, roll: float) -> None:
    head = np.array([[-31, -30, 0], [31, -30, 0], [0, 0, 31 / 1.2], [-24, 35, 0], [24, 35, 0]], float)
    yaw, tilt = np.radians(degrees), np.radians(roll)
    x = head[:, 0] * np.cos(yaw) + head[:, 2] * np.sin(yaw)
    points = np.stack([x, head[:, 1]], 1) @ np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]])
    assert yaw_of(points) == pytest.approx(degrees, abs=1e-6)
