from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest

from purify.config import ExtractorConfig
from purify.embedding.extractors import open_extractor
from purify.faces.packaged_models import packaged_model
from purify.images.decoding import decode_rgb

pytest.importorskip("dlib")
WEIGHTS = "dlib_face_recognition_resnet_model_v1.dat"


def _pixels(faces: Path, names: list[str], size: int) -> np.ndarray:
    with tarfile.open(faces / "lfw112.tar") as tar:
        images = [decode_rgb(tar.extractfile(f"lfw112/{name}").read(), size) for name in names]  # type: ignore[union-attr]
    return np.stack(images).transpose(0, 3, 1, 2)


def test_people_are_told_apart_in_aligned_crops(faces: Path) -> None:
    names = [f"{p}/{p}_{i:04d}.jpg" for p in ("George_W_Bush", "Colin_Powell", "Tony_Blair") for i in (1, 2, 3)]
    extractor = open_extractor(packaged_model(WEIGHTS), ExtractorConfig(), precision="auto", flip=True)
    assert (extractor.dim, extractor.precision) == (128, "float32")
    vectors = extractor(_pixels(faces, names, extractor.input_size))
    apart = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)
    same = np.kron(np.eye(3), np.ones((3, 3))).astype(bool)
    np.fill_diagonal(apart, 0)
    assert apart[same].max() < apart[~same].min()
    assert apart[same].max() < 0.6  # dlib's own threshold


def test_a_batch_is_embedded_as_its_images_one_by_one() -> None:
    extractor = open_extractor(packaged_model(WEIGHTS), ExtractorConfig(), precision="auto", flip=False)
    size = extractor.input_size
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, size, size), dtype=np.uint8)
    one_by_one = np.concatenate([extractor(pixels[:1]), extractor(pixels[1:])])
    np.testing.assert_allclose(extractor(pixels), one_by_one, atol=1e-4)
