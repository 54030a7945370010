from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from purify.config import BackboneName
from purify.embedding.backbone import Extractor
from purify.embedding.blocks import Block, run_here
from purify.embedding.shard_writer import ShardWriter
from purify.errors import PurifyError
from purify.faces.augment import to_input
from purify.models.backbones import build_backbone
from purify.models.checkpoint import Checkpoint
from purify.models.heads import SubcenterHead
from purify.progress import Progress, silent


class _Rows:
    """A block of `rows` rows; only its name, size and place matter."""

    def __init__(self, rows: int, out: Path) -> None:
        self.name, self.rows, self.out = out.stem, rows, str(out)

    def run(self, progress: Progress = silent) -> None:
        raise AssertionError("not of interest here")


def test_shards_hold_the_rows_of_their_blocks_in_order(tmp_path: Path) -> None:
    blocks = [_Rows(n, tmp_path / f"{k}.npy") for k, n in enumerate((3, 2, 4))]
    vectors = np.arange(18, dtype=np.float32).reshape(9, 2)
    with ShardWriter(blocks) as writer:
        for start, stop in ((0, 2), (2, 3), (3, 5), (5, 9)):
            writer.add(vectors[start:stop])
    found = [np.load(block.out) for block in blocks]
    assert [len(rows) for rows in found] == [3, 2, 4]
    np.testing.assert_array_equal(np.concatenate(found), vectors)


def test_whole_shards_are_kept_and_a_part_is_not_when_the_work_is_interrupted(tmp_path: Path) -> None:
    blocks = [_Rows(2, tmp_path / "0.npy"), _Rows(2, tmp_path / "1.npy")]

    def interrupted() -> None:
        with ShardWriter(blocks) as writer:
            writer.add(np.zeros((2, 1), np.float32))
            writer.add(np.zeros((1, 1), np.float32))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [path.name for path in tmp_path.iterdir()] == ["0.npy"]


def test_a_shard_that_can_not_be_written_is_an_error_at_the_next_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    blocks = [_Rows(1, tmp_path / "file" / "0.npy"), _Rows(1, tmp_path / "1.npy")]

    def write() -> None:
        with ShardWriter(blocks) as writer:
            for _ in blocks:
                writer.add(np.zeros((1, 1), np.float32))

    with pytest.raises(PurifyError, match=r"0\.npy: can't be written"):
        write()
    assert not (tmp_path / "1.npy").exists()


class _Single:
    """A block that can't be run together with others."""

    def __init__(self, name: str, done: list[str]) -> None:
        self.name, self.rows, self.out, self._done = name, 1, "", done

    def run(self, progress: Progress = silent) -> None:
        self._done.append(self.name)
        progress(1, 1)


class _Joint(_Single):
    @classmethod
    def run_together(cls, blocks: list[Block], progress: Progress = silent) -> None:
        blocks[0]._done.append(" ".join(block.name for block in blocks))  # type: ignore[attr-defined]
        progress(len(blocks), len(blocks))


def test_blocks_that_can_share_are_run_together_and_others_in_turn() -> None:
    done: list[str] = []
    seen: list[tuple[int, int]] = []
    for kind in (_Joint, _Single):
        run_here([kind("a", done), kind("b", done)], lambda n, total, detail="": seen.append((n, total)))
    assert done == ["a b", "a", "b"]
    assert seen == [(2, 2), (1, 2), (2, 2)]


@pytest.mark.parametrize(("backbone", "size"), [("iresnet_small", 48), ("mobilefacenet", 48)])
def test_one_pass_over_images_and_mirror_images_is_the_sum_of_two(backbone: BackboneName, size: int) -> None:
    torch.manual_seed(0)
    network = build_backbone(backbone, embedding_dim=16, input_size=size).eval()
    checkpoint = Checkpoint.of(
        network, SubcenterHead(2, 16), backbone_name=backbone, input_size=size, labels=("a", "b"), extra={}
    )
    pixels = np.random.default_rng(3).integers(0, 256, (11, 3, size, size), dtype=np.uint8)
    with torch.no_grad():
        images = to_input(torch.from_numpy(pixels))
        expected = network(images) + network(images.flip(3))
    found = Extractor(checkpoint, precision="float32", lengths=True)(pixels)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-5)
