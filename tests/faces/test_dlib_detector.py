"""dlib on real photos: how many faces it finds, and how near the crops are to those of an independent alignment."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from purify.faces.detectors import open_detector
from purify.faces.face_choice import by_prominence
from purify.faces.face_search import find_faces
from purify.faces.similarity import crop_face

pytest.importorskip("dlib", reason="the extra faces is not installed")
FACES = Path(os.environ.get("PURIFY_FACES", "/nowhere"))
_EVERY = 6


def images(name: str) -> dict[str, np.ndarray]:
    path = FACES / name
    if not path.is_file():
        pytest.skip(f"needs {name} in PURIFY_FACES")
    with tarfile.open(path) as raw, tarfile.open(FACES / "lfw_raw_sample.tar") as wanted:
        names = {Path(member.name).name for member in wanted if member.isfile()}
        names = set(sorted(names)[::_EVERY])
        members = [member for member in raw if Path(member.name).name in names]
        return {
            Path(member.name).name: np.asarray(Image.open(io.BytesIO(raw.extractfile(member).read())).convert("RGB"))
            for member in members
        }


def test_faces_of_photos_lie_as_in_an_independent_alignment() -> None:
    import dlib

    photos, aligned = images("lfw_raw_sample.tar"), images("lfw112.tar")
    detector = open_detector(None, None)
    frame = dlib.rectangle(16, 24, 96, 104)
    distances = []
    for name, photo in photos.items():
        face = by_prominence(find_faces(detector, photo), photo.shape[1], photo.shape[0])[0]
        crop = crop_face(photo, face.points, 112)
        ours, theirs = (detector._face(picture, frame, 0.0).points for picture in (crop, aligned[name]))
        distances.append(np.linalg.norm(ours - theirs, axis=1).mean())
    assert len(distances) == len(photos) == 28
    assert np.mean(distances) < 1.5
    assert np.max(distances) < 6


def test_sideways_and_tiny_photos_have_faces_too() -> None:
    photo = next(iter(images("lfw_raw_sample.tar").values()))
    detector = open_detector(None, None)
    for turn in range(4):
        (face, *_) = find_faces(detector, np.ascontiguousarray(np.rot90(photo, turn)))
        assert face.score > 0.5
    tiny = np.asarray(Image.fromarray(photo[65:185, 65:185]).resize((60, 60)))
    assert len(find_faces(detector, tiny)) == 1
    assert find_faces(detector, np.full((90, 120, 3), 200, np.uint8)) == []
