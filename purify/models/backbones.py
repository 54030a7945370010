"""Backbones by name, and loading of their weights."""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt
from pathlib import Path

import torch
from torch import Tensor, nn

from purify.errors import InputError
from purify.models.iresnet import IRESNETS, IResNet
from purify.models.mobilefacenet import REDUCTION, MobileFaceNet
from purify.models.state_dicts import mismatches, read_state_dict

BACKBONES = (*IRESNETS, "mobilefacenet")


def build_backbone(name: str, *, embedding_dim: int, input_size: int) -> nn.Module:
    """Module ``images[N, 3, S, S]`` in [-1, 1] -> ``embeddings[N, D]``, with fresh weights.

    Raises InputError if there is no backbone of that name.
    """
    if name == "mobilefacenet":
        return MobileFaceNet(embedding_dim=embedding_dim, input_size=input_size)
    if name in IRESNETS:
        return IResNet(IRESNETS[name], embedding_dim=embedding_dim, input_size=input_size)
    raise InputError(f"unknown backbone {name!r}; there are {', '.join(BACKBONES)}")


def backbone_layout(name: str, *, embedding_dim: int, input_size: int) -> dict[str, Tensor]:
    """State dict of `build_backbone` as meta tensors: names and shapes without memory."""
    with torch.device("meta"):
        return build_backbone(name, embedding_dim=embedding_dim, input_size=input_size).state_dict()


def load_backbone_weights(backbone: nn.Module, path: Path) -> None:
    """Load a state dict (``.safetensors``, our checkpoints included, or a ``.pth`` of tensors only) into `backbone`.

    Raises
    ------
    InputError
        If the file can't be read, holds more than tensors, or belongs to another architecture.
    """
    state = read_state_dict(path)
    problems = mismatches(_required(backbone.state_dict(), state), state)
    if problems:
        raise InputError(f"{path}: these weights are not of this backbone: {problems}. {_advice(state)}")
    backbone.load_state_dict(state, strict=False)


def identify_backbone(state: Mapping[str, Tensor]) -> tuple[str, int, int] | None:
    """``(name, embedding_dim, input_size)`` of the backbone with the names and shapes of `state`, if any.

    Of input sizes with equal shapes (such as 97 to 112 pixels), the largest.
    """
    for name in BACKBONES:
        size = _input_size(name, state)
        if size is None:
            continue
        dim = state["fc.weight"].shape[0]
        if not mismatches(_required(backbone_layout(name, embedding_dim=dim, input_size=size), state), state):
            return name, dim, size
    return None


def _input_size(name: str, state: Mapping[str, Tensor]) -> int | None:
    """Input size by the tensor whose shape depends on it; None if that is missing or not of backbone `name`."""
    last, pool = state.get("fc.weight"), state.get("pool.0.weight")
    if last is None or last.ndim != 2 or last.numel() == 0:
        return None
    if name in IRESNETS:
        spec = IRESNETS[name]
        side = isqrt(last.shape[1] // spec.channels[-1])
        return side * spec.reduction or None
    return pool.shape[-1] * REDUCTION if pool is not None and pool.ndim == 4 and pool.numel() else None


def _required(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`wanted` without batch counters that `given` lacks: old files have none, and no result depends on them."""
    return {n: t for n, t in wanted.items() if n in given or not n.endswith("num_batches_tracked")}


def _advice(state: Mapping[str, Tensor]) -> str:
    found = identify_backbone(state)
    if found is None:
        return (
            "Set model.backbone, model.embedding_dim and model.input_size (fc.weight depends on it) to those of the "
            f"weights; as they are, they fit none of {', '.join(BACKBONES)}"
        )
    name, dim, size = found
    return f"They fit model.backbone={name}, model.embedding_dim={dim}, model.input_size={size}"
