from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from purify.errors import CheckpointError
from purify.models.backbones import build_backbone
from purify.models.checkpoint import FILE_NAME, Checkpoint, load_checkpoint, require_labels, save_checkpoint
from purify.models.heads import Margin, SubcenterHead


@pytest.fixture
def checkpoint() -> Checkpoint:
    torch.manual_seed(0)
    backbone = build_backbone("iresnet_small", embedding_dim=8, input_size=32)
    head = SubcenterHead(3, 8, subcenters=2, scale=20.5, margin=Margin(1.0, 0.3, 0.1))
    labels = ("Zoe", "an\u0303a \U0001f600", 'quote"d')
    return Checkpoint.of(backbone, head, backbone_name="iresnet_small", input_size=32, labels=labels, extra={"seed": 4})


def test_round_trip_is_exact(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a", checkpoint)
    loaded = load_checkpoint(tmp_path / "a")
    assert loaded.labels == checkpoint.labels
    assert (loaded.scale, loaded.margin, loaded.subcenters) == (20.5, Margin(1.0, 0.3, 0.1), 2)
    assert loaded.preprocessing["size"] == 32
    assert loaded.extra == {"seed": 4}
    (backbone, head), (other, other_head) = checkpoint.build(), loaded.build()
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        embeddings = backbone.eval()(x)
        assert torch.equal(embeddings, other.eval()(x))
        labels = torch.tensor([0, 2])
        assert torch.equal(head(embeddings, labels), other_head(embeddings, labels))


def test_equal_checkpoints_have_equal_bytes(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a", checkpoint)
    save_checkpoint(tmp_path / "b", load_checkpoint(tmp_path / "a"))
    assert (tmp_path / "a" / FILE_NAME).read_bytes() == (tmp_path / "b" / FILE_NAME).read_bytes()


def test_many_labels(checkpoint: Checkpoint, tmp_path: Path) -> None:
    labels = tuple(f"person {i}" for i in range(100_000))
    many = replace(checkpoint, labels=labels, subcenters=1, head_weight=torch.zeros(100_000, 1, 8))
    save_checkpoint(tmp_path, many)
    assert load_checkpoint(tmp_path).labels == labels


def test_missing_truncated_and_foreign_files_are_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        load_checkpoint(tmp_path / "none")
    save_checkpoint(tmp_path / "cut", checkpoint)
    path = tmp_path / "cut" / FILE_NAME
    content = path.read_bytes()
    for keep in (0, 5, 300, len(content) - 7):
        path.write_bytes(content[:keep])
        with pytest.raises(CheckpointError, match=FILE_NAME):
            load_checkpoint(tmp_path / "cut")
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="not a checkpoint of purify"):
        load_checkpoint(tmp_path / "cut")


def test_header_and_head_must_agree(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(tmp_path, replace(checkpoint, labels=("a", "b")))
    with pytest.raises(CheckpointError, match="head of shape"):
        load_checkpoint(tmp_path)


def test_labels_must_be_the_manifests(checkpoint: Checkpoint) -> None:
    require_labels(checkpoint, reversed(checkpoint.labels), manifest="m")
    with pytest.raises(CheckpointError, match=r"1 labels only in m, such as 'Eve'.*1 labels only in the checkpoint"):
        require_labels(checkpoint, [*checkpoint.labels[1:], "Eve"], manifest="m")
