from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from purify.errors import CheckpointError
from purify.models.backbones import build_backbone
from purify.models.checkpoint import FILE_NAME, Checkpoint, load_checkpoint, restrict_labels, save_checkpoint
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
    checkpoint = replace(checkpoint, extra={"seed": 4, "images": 9})
    save_checkpoint(tmp_path / "a", checkpoint)
    save_checkpoint(tmp_path / "b", load_checkpoint(tmp_path / "a"))
    backwards = dict(reversed(checkpoint.backbone_state.items()))
    save_checkpoint(tmp_path / "c", replace(checkpoint, backbone_state=backwards, extra={"images": 9, "seed": 4}))
    first = (tmp_path / "a" / FILE_NAME).read_bytes()
    assert (tmp_path / "b" / FILE_NAME).read_bytes() == first
    assert (tmp_path / "c" / FILE_NAME).read_bytes() == first


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


class _Evil:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.target}",)


def test_a_pickle_in_its_place_is_refused_and_not_executed(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(pickle.dumps(_Evil(tmp_path / "owned")))
    with pytest.raises(CheckpointError, match=rf"{FILE_NAME}: damaged.*train again"):
        load_checkpoint(tmp_path)
    assert not (tmp_path / "owned").exists()


def _without(name: str) -> Callable[[Checkpoint], Checkpoint]:
    return lambda c: replace(c, backbone_state={n: t for n, t in c.backbone_state.items() if n != name})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda c: replace(c, labels=("a", "b")), "head of shape"),
        (lambda c: replace(c, labels=("a", "b", "a")), "a label is named twice"),
        (lambda c: replace(c, backbone_name="vit"), r"unknown backbone 'vit'; there are iresnet_small"),
        (lambda c: replace(c, input_size=64), r"1 of another shape \(such as fc\.weight"),
        (_without("fc.weight"), r"1 missing \(such as fc\.weight\)"),
        (_without("bn1.num_batches_tracked"), "1 missing"),
    ],
    ids=["head", "labels", "backbone", "size", "weight", "buffer"],
)
def test_header_and_tensors_must_agree(
    checkpoint: Checkpoint, tmp_path: Path, spoil: Callable[[Checkpoint], Checkpoint], message: str
) -> None:
    save_checkpoint(tmp_path, spoil(checkpoint))
    with pytest.raises(CheckpointError, match=f"{FILE_NAME}: .*{message}"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("header", "message"),
    [('{"format": 2}', "format 2; this version reads 1"), ("[]", "not a checkpoint of purify"), ("{", "damaged")],
)
def test_headers_of_other_forms_are_refused(tmp_path: Path, header: str, message: str) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / FILE_NAME, metadata={"purify.checkpoint": header})
    with pytest.raises(CheckpointError, match=f"{FILE_NAME}: .*{message}"):
        load_checkpoint(tmp_path)


def test_a_failed_write_leaves_the_old_checkpoint(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(tmp_path, checkpoint)
    before = (tmp_path / FILE_NAME).read_bytes()
    with pytest.raises(TypeError):
        save_checkpoint(tmp_path, replace(checkpoint, extra={"not JSON": object()}))
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]
    assert (tmp_path / FILE_NAME).read_bytes() == before


def test_others_may_read_it_as_they_may_any_new_file(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(tmp_path, checkpoint)
    (tmp_path / "plain").touch()
    assert (tmp_path / FILE_NAME).stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_loading_draws_no_random_numbers(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(tmp_path, checkpoint)
    before = torch.get_rng_state()
    load_checkpoint(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_labels_must_be_known(checkpoint: Checkpoint) -> None:
    for labels in ([*checkpoint.labels, "Eve"], [*checkpoint.labels[1:], "Eve"]):
        with pytest.raises(CheckpointError, match=r"1 labels only in m, such as 'Eve'\. Train on this manifest"):
            restrict_labels(checkpoint, labels, manifest="m")


def test_labels_that_left_lose_their_centers(checkpoint: Checkpoint) -> None:
    same = restrict_labels(checkpoint, reversed(checkpoint.labels), manifest="m")
    assert same.labels == checkpoint.labels
    assert torch.equal(same.head_weight, checkpoint.head_weight)
    part = restrict_labels(checkpoint, [checkpoint.labels[2], checkpoint.labels[0]], manifest="m")
    assert part.labels == (checkpoint.labels[0], checkpoint.labels[2])
    assert torch.equal(part.head_weight, checkpoint.head_weight[[0, 2]])
