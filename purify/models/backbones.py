"""The backbones by name, and weights from elsewhere."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from purify.errors import InputError
from purify.models.iresnet import IRESNETS, IResNet
from purify.models.mobilefacenet import MobileFaceNet

#: What wrappers put before the names of a backbone's parameters.
_PREFIXES = ("module.", "backbone.")
_NAMED = 3


def build_backbone(name: str, *, embedding_dim: int, input_size: int) -> nn.Module:
    """Module ``images[N, 3, S, S]`` in [-1, 1] -> ``embeddings[N, D]``, with fresh weights.

    Raises
    ------
    InputError
        If there is no backbone of that name.
    """
    if name == "mobilefacenet":
        return MobileFaceNet(embedding_dim=embedding_dim, input_size=input_size)
    if name in IRESNETS:
        return IResNet(IRESNETS[name], embedding_dim=embedding_dim, input_size=input_size)
    raise InputError(f"unknown backbone {name!r}; there are {', '.join([*IRESNETS, 'mobilefacenet'])}")


def load_backbone_weights(backbone: nn.Module, path: Path) -> None:
    """Load a state dict (``.safetensors``, our checkpoints included, or a ``.pth`` of tensors only) into `backbone`.

    Raises
    ------
    InputError
        If the file can't be read, holds more than tensors, or belongs to another architecture.
    """
    state = _plain_names(_read_tensors(path))
    wanted = backbone.state_dict()
    missing = [name for name in wanted if name not in state and not name.endswith("num_batches_tracked")]
    unknown = [name for name in state if name not in wanted]
    misfit = [name for name in state if name in wanted and state[name].shape != wanted[name].shape]
    if missing or unknown or misfit:
        parts = [
            f"{len(names)} {kind} (such as {', '.join(names[:_NAMED])})"
            for kind, names in (("missing", missing), ("unknown", unknown), ("of another shape", misfit))
            if names
        ]
        raise InputError(
            f"{path}: these weights are not of this backbone: {'; '.join(parts)}. Set model.backbone, "
            "model.embedding_dim and model.input_size (fc.weight depends on it) to those of the weights"
        )
    backbone.load_state_dict(state, strict=False)


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{path}: can't be read as weights ({reason}); a .safetensors file or a .pth state dict of tensors "
            "is expected, and nothing else in a .pth is ever executed"
        ) from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(isinstance(tensor, Tensor) for tensor in content.values()):
        raise InputError(f"{path}: not a state dict (names to tensors); save `model.state_dict()`")
    return content


def _plain_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    if any(name.startswith("backbone.") for name in state):  # a whole checkpoint: the head is not the backbone's
        state = {name: tensor for name, tensor in state.items() if not name.startswith("head.")}
    for prefix in _PREFIXES:
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state
