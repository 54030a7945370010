"""Checkpoints: backbone, head, label order and preprocessing in one safetensors file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from purify.errors import CheckpointError, InputError
from purify.models.backbones import backbone_layout, build_backbone
from purify.models.heads import Margin, SubcenterHead
from purify.models.state_dicts import mismatches
from purify.storage.files import atomic_path
from purify.storage.integrity import verify

FILE_NAME = "model.safetensors"
FORMAT = 1
_KEY = "purify.checkpoint"
_PREPROCESSING = {"color": "RGB", "mean": 127.5, "std": 127.5, "resize": "bilinear-antialias"}
_NAMED = 3


@dataclass(frozen=True)
class Checkpoint:
    """A trained model: arguments and state dict of its backbone, and its head at the end of training.

    ``head_weight[C, K, D]`` is not normalized; its rows have the order of `labels`. `extra` holds JSON values.
    """

    backbone_name: str
    embedding_dim: int
    input_size: int
    labels: tuple[str, ...]
    scale: float
    margin: Margin
    subcenters: int
    preprocessing: dict[str, Any]
    backbone_state: dict[str, Tensor]
    head_weight: Tensor
    extra: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        backbone: nn.Module,
        head: SubcenterHead,
        *,
        backbone_name: str,
        input_size: int,
        labels: Sequence[str],
        extra: dict[str, Any],
    ) -> Checkpoint:
        """Checkpoint of a trained backbone and head; shares the memory of weights that are on the CPU."""
        return cls(
            backbone_name=backbone_name,
            embedding_dim=head.weight.shape[2],
            input_size=input_size,
            labels=tuple(labels),
            scale=head.scale,
            margin=head.margin,
            subcenters=head.subcenters,
            preprocessing=_PREPROCESSING | {"size": input_size},
            backbone_state={name: _plain(tensor) for name, tensor in backbone.state_dict().items()},
            head_weight=_plain(head.weight),
            extra=extra,
        )

    def build(self) -> tuple[nn.Module, SubcenterHead]:
        """Backbone and head with these weights."""
        backbone = build_backbone(self.backbone_name, embedding_dim=self.embedding_dim, input_size=self.input_size)
        backbone.load_state_dict(self.backbone_state)
        head = SubcenterHead(0, self.embedding_dim, scale=self.scale, margin=self.margin)
        return backbone, head.with_rows(self.head_weight.clone())


def _plain(tensor: Tensor) -> Tensor:
    """Move to the CPU, float64 as float32; shares the memory where possible."""
    dtype = torch.float32 if tensor.dtype is torch.float64 else tensor.dtype
    return tensor.detach().to("cpu", dtype).contiguous(memory_format=torch.contiguous_format)


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write ``folder/model.safetensors`` atomically; equal checkpoints give equal bytes."""
    tensors = {f"backbone.{name}": tensor for name, tensor in checkpoint.backbone_state.items()}
    tensors["head.weight"] = checkpoint.head_weight
    with atomic_path(folder / FILE_NAME) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode
        save_file(tensors, temporary, metadata={_KEY: json.dumps(_header(checkpoint), sort_keys=True)})
        temporary.chmod(mode)  # safetensors lets only the owner read, whatever the umask says


def _header(checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "backbone": checkpoint.backbone_name,
        "embedding_dim": checkpoint.embedding_dim,
        "input_size": checkpoint.input_size,
        "labels": list(checkpoint.labels),
        "head": {
            "scale": checkpoint.scale,
            "margin": [checkpoint.margin.m1, checkpoint.margin.m2, checkpoint.margin.m3],
            "subcenters": checkpoint.subcenters,
        },
        "preprocessing": checkpoint.preprocessing,
        "extra": checkpoint.extra,
    }


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint folder; CheckpointError if there is none, or it is damaged, or not written by this package."""
    path = folder / FILE_NAME
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; give the folder that training wrote")
    verify(path)
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return _from_file(header, tensors)
    except InputError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged ({error}); train again") from error
    except (KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path}: not a checkpoint of purify (its header is incomplete); give the folder that training wrote"
        ) from error


def _from_file(header: dict[str, Any], tensors: dict[str, Tensor]) -> Checkpoint:
    if header["format"] != FORMAT:
        raise InputError(f"of format {header['format']}; this version reads {FORMAT}: use the version that wrote it")
    head = header["head"]
    checkpoint = Checkpoint(
        backbone_name=header["backbone"],
        embedding_dim=header["embedding_dim"],
        input_size=header["input_size"],
        labels=tuple(header["labels"]),
        scale=head["scale"],
        margin=Margin(*head["margin"]),
        subcenters=head["subcenters"],
        preprocessing=header["preprocessing"],
        backbone_state={n.removeprefix("backbone."): t for n, t in tensors.items() if n.startswith("backbone.")},
        head_weight=tensors["head.weight"],
        extra=header["extra"],
    )
    _check_agreement(checkpoint)
    return checkpoint


def _check_agreement(checkpoint: Checkpoint) -> None:
    """Refuse tensors that don't fit the header: they would fail to build, or get wrong labels."""
    if len(set(checkpoint.labels)) < len(checkpoint.labels):
        raise ValueError("a label is named twice")
    shape = tuple(checkpoint.head_weight.shape)
    expected = (len(checkpoint.labels), checkpoint.subcenters, checkpoint.embedding_dim)
    if shape != expected:
        raise ValueError(f"head of shape {shape}, its header says {expected}")
    layout = backbone_layout(
        checkpoint.backbone_name, embedding_dim=checkpoint.embedding_dim, input_size=checkpoint.input_size
    )
    problems = mismatches(layout, checkpoint.backbone_state)
    if problems:
        raise ValueError(f"tensors of the backbone: {problems}")


def restrict_labels(checkpoint: Checkpoint, labels: Iterable[str], *, manifest: str) -> Checkpoint:
    """The checkpoint restricted to the centers of `labels`, so that no sample is assigned to a removed label.

    Raises CheckpointError, naming some labels, if it was not trained on all of them.
    """
    wanted = set(labels)
    missing = sorted(wanted.difference(checkpoint.labels))
    if missing:
        raise CheckpointError(
            f"the checkpoint does not belong to {manifest}: {len(missing)} labels only in {manifest}, such as "
            f"{', '.join(map(repr, missing[:_NAMED]))}. Train on this manifest"
        )
    rows = [row for row, label in enumerate(checkpoint.labels) if label in wanted]
    names = tuple(checkpoint.labels[row] for row in rows)
    return replace(checkpoint, labels=names, head_weight=checkpoint.head_weight[rows])
