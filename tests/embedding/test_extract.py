from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from purify.config import EmbedConfig
from purify.embedding.extract import Extractor, embed_images
from purify.models.backbones import build_backbone
from purify.models.checkpoint import Checkpoint
from purify.models.heads import SubcenterHead


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    torch.manual_seed(0)
    backbone = build_backbone("iresnet_small", embedding_dim=16, input_size=32).eval()
    head = SubcenterHead(2, 16)
    return Checkpoint.of(backbone, head, backbone_name="iresnet_small", input_size=32, labels=("a", "b"), extra={})


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    paths = [folder / f"{i:02d}.png" for i in range(11)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)
    return paths


def _embed(extractor: Extractor, paths: list[Path], shards: Path, **config: int) -> np.ndarray:
    ids, uris = [p.name for p in paths], [p.as_uri() for p in paths]
    return np.concatenate(list(embed_images(extractor, ids, uris, EmbedConfig(**config), shards=shards)))


def test_flip_average_is_blind_to_mirroring_and_unit_length(checkpoint: Checkpoint) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (4, 3, 32, 32), dtype=np.uint8)
    mirrored = np.ascontiguousarray(pixels[..., ::-1])
    both = Extractor(checkpoint, precision="float32", flip=True)
    one = Extractor(checkpoint, precision="float32", flip=False)
    np.testing.assert_allclose(both(pixels), both(mirrored), atol=1e-5)
    assert np.abs(one(pixels) - one(mirrored)).max() > 1e-3
    np.testing.assert_allclose(np.linalg.norm(both(pixels), axis=1), 1, atol=1e-5)


def test_equals_a_plain_forward(checkpoint: Checkpoint) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (3, 3, 32, 32), dtype=np.uint8)
    backbone = checkpoint.build()[0].eval()
    with torch.no_grad():
        images = torch.from_numpy(pixels).float() / 127.5 - 1
        expected = torch.nn.functional.normalize(backbone(images) + backbone(images.flip(3)), dim=1).numpy()
    np.testing.assert_allclose(Extractor(checkpoint, precision="float32")(pixels), expected, atol=1e-5)


def test_interrupted_embedding_goes_on_at_the_next_shard_with_the_same_bits(
    checkpoint: Checkpoint, pictures: list[Path], tmp_path: Path
) -> None:
    extractor = Extractor(checkpoint, precision="float32")
    whole = _embed(extractor, pictures, tmp_path / "whole", shard_size=4, batch_size=3)
    ids, uris = [p.name for p in pictures], [p.as_uri() for p in pictures]
    config = EmbedConfig(shard_size=4, batch_size=3)
    begun = embed_images(extractor, ids, uris, config, shards=tmp_path / "cut")
    next(begun), next(begun)
    begun.close()
    assert len(list((tmp_path / "cut").iterdir())) == 2

    class Counting(Extractor):
        rows = 0

        def __call__(self, pixels: np.ndarray) -> np.ndarray:
            self.rows += len(pixels)
            return super().__call__(pixels)

    counting = Counting(checkpoint, precision="float32")
    resumed = _embed(counting, pictures, tmp_path / "cut", shard_size=4, batch_size=3)
    assert counting.rows == 3
    assert resumed.tobytes() == whole.tobytes()


def test_a_damaged_shard_is_computed_again(checkpoint: Checkpoint, pictures: list[Path], tmp_path: Path) -> None:
    extractor = Extractor(checkpoint, precision="float32")
    whole = _embed(extractor, pictures, tmp_path / "s", shard_size=8, batch_size=4)
    shard = sorted((tmp_path / "s").iterdir())[0]
    shard.write_bytes(shard.read_bytes()[:40])
    assert _embed(extractor, pictures, tmp_path / "s", shard_size=8, batch_size=4).tobytes() == whole.tobytes()
