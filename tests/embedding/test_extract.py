from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from purify.config import BackboneName, EmbedConfig, ExtractorConfig
from purify.embedding.backbone import Extractor
from purify.embedding.blocks import Block, RunBlocks, run_here
from purify.embedding.extract import EmbedBlock, embed_images
from purify.errors import CheckpointError, PurifyError
from purify.models.backbones import build_backbone
from purify.models.checkpoint import Checkpoint, save_checkpoint
from purify.models.heads import SubcenterHead
from purify.progress import Progress


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


@pytest.fixture(scope="module")
def folder(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("model") / "checkpoint"
    save_checkpoint(place, checkpoint)
    return place


def _embed(
    folder: Path, paths: list[Path], shards: Path, run_blocks: RunBlocks = run_here, **config: int
) -> np.ndarray:
    ids, uris = [p.name for p in paths], [p.as_uri() for p in paths]
    parts = embed_images(
        folder,
        ids,
        uris,
        EmbedConfig(**config),
        shards=shards,
        extractor=ExtractorConfig(),
        precision="float32",
        run_blocks=run_blocks,
    )
    return np.concatenate(list(parts))


class Recorded:
    """Does the first blocks, and stops as a kill would."""

    def __init__(self, most: int = 99) -> None:
        self.names: list[str] = []
        self._most = most

    def __call__(self, blocks: Sequence[Block], progress: Progress) -> None:
        for block in blocks[: self._most]:
            self.names.append(block.name)
            block.run()
        if len(blocks) > self._most:
            raise KeyboardInterrupt


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
    folder: Path, pictures: list[Path], tmp_path: Path
) -> None:
    whole = _embed(folder, pictures, tmp_path / "whole", shard_size=4, batch_size=3)
    with pytest.raises(KeyboardInterrupt):
        _embed(folder, pictures, tmp_path / "cut", Recorded(2), shard_size=4, batch_size=3)
    rest = Recorded()
    resumed = _embed(folder, pictures, tmp_path / "cut", rest, shard_size=4, batch_size=3)
    assert rest.names == ["embed 8-11"]
    assert resumed.tobytes() == whole.tobytes()
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_shard_is_computed_again(folder: Path, pictures: list[Path], tmp_path: Path) -> None:
    whole = _embed(folder, pictures, tmp_path / "s", shard_size=4, batch_size=4)
    with pytest.raises(KeyboardInterrupt):
        _embed(folder, pictures, tmp_path / "s", Recorded(2), shard_size=4, batch_size=4)
    shard = sorted(tmp_path.glob("s-*/*.npy"))[0]
    shard.write_bytes(shard.read_bytes()[:-1])
    again = Recorded()
    assert _embed(folder, pictures, tmp_path / "s", again, shard_size=4, batch_size=4).tobytes() == whole.tobytes()
    assert again.names == ["embed 0-4", "embed 8-11"]


def test_shards_of_other_images_or_settings_are_not_taken(folder: Path, pictures: list[Path], tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        _embed(folder, pictures, tmp_path / "s", Recorded(1), shard_size=4, batch_size=3)
    for paths, batch_size in ((pictures[1:], 3), (pictures, 2)):
        recorded = Recorded()
        _embed(folder, paths, tmp_path / "s", recorded, shard_size=4, batch_size=batch_size)
        assert recorded.names[0] == "embed 0-4"


@pytest.mark.parametrize("backbone", ["iresnet_small", "mobilefacenet"])
def test_the_bits_do_not_depend_on_the_number_of_threads(backbone: BackboneName) -> None:
    torch.manual_seed(0)
    network = build_backbone(backbone, embedding_dim=16, input_size=48).eval()
    built = Checkpoint.of(
        network, SubcenterHead(2, 16), backbone_name=backbone, input_size=48, labels=("a", "b"), extra={}
    )
    extractor = Extractor(built, precision="float32")
    pixels = np.random.default_rng(3).integers(0, 256, (9, 3, 48, 48), dtype=np.uint8)
    before = torch.get_num_threads()
    try:
        answers = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            answers.append(extractor(pixels).tobytes())
    finally:
        torch.set_num_threads(before)
    assert answers[0] == answers[1] == answers[2]


def test_a_block_that_left_no_file_is_an_error_that_names_shared_storage(
    folder: Path, pictures: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(PurifyError, match=r"000000000\.npy: .*share"):
        _embed(folder, pictures, tmp_path / "s", lambda blocks, progress: None, shard_size=4, batch_size=3)


def test_a_worker_with_another_model_refuses(folder: Path, pictures: list[Path], tmp_path: Path) -> None:
    def with_another(blocks: Sequence[Block], progress: Progress) -> None:
        block = blocks[0]
        assert isinstance(block, EmbedBlock)
        replace(block, digest="0" * 64).run()

    with pytest.raises(CheckpointError, match="not the model"):
        _embed(folder, pictures, tmp_path / "s", with_another, shard_size=4, batch_size=3)


def test_progress_counts_rows_of_all_shards_also_of_those_done_before(
    folder: Path, pictures: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        _embed(folder, pictures, tmp_path / "s", Recorded(1), shard_size=4, batch_size=2)
    seen: list[tuple[int, int]] = []
    ids, uris = [p.name for p in pictures], [p.as_uri() for p in pictures]
    config = EmbedConfig(shard_size=4, batch_size=2)
    parts = embed_images(
        folder,
        ids,
        uris,
        config,
        shards=tmp_path / "s",
        extractor=ExtractorConfig(),
        precision="float32",
        progress=lambda done, total, detail="": seen.append((done, total)),
    )
    assert sum(map(len, parts)) == 11
    assert seen == [(4, 11), (6, 11), (8, 11), (10, 11), (11, 11)]
