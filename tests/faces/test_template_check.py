from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest

from purify.faces.template_check import CHECK_SIDE, are_aligned
from purify.images.decoding import decode_rgb

pytest.importorskip("dlib")


def _crops(path: Path, most: int) -> list[np.ndarray]:
    with tarfile.open(path) as tar:
        files = [member for member in tar if member.isfile() and member.name.endswith(".jpg")]
        step = max(1, len(files) // most)
        return [decode_rgb(tar.extractfile(file).read(), CHECK_SIDE) for file in files[::step][:most]]  # type: ignore[union-attr]


def test_aligned_crops_are_told_from_uncropped_photos(faces: Path) -> None:
    assert np.mean(list(are_aligned(_crops(faces / "lfw112.tar", 16)))) >= 0.8
    assert np.mean(list(are_aligned(_crops(faces / "lfw_raw_sample.tar", 16)))) <= 0.5


def test_patterns_are_no_faces() -> None:
    stripes = np.zeros((CHECK_SIDE, CHECK_SIDE, 3), np.uint8)
    stripes[::8] = 255
    noise = np.random.default_rng(0).integers(0, 256, stripes.shape, dtype=np.uint8)
    assert list(are_aligned([stripes, noise])) == [False, False]
    assert list(are_aligned([])) == []
