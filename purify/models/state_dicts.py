"""State dicts from files: read without executing anything, and compared with a backbone's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from purify.errors import InputError

#: Prefixes that wrappers add to parameter names, outermost first.
_PREFIXES = ("module.", "backbone.")
#: Entries of training checkpoints that hold a backbone's state dict; the second is InsightFace's.
_ENTRIES = ("state_dict", "state_dict_backbone")
_NAMED = 3
_EXPECTED = "a .safetensors file or a .pth state dict of tensors is expected"


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Names to tensors of a ``.safetensors`` (our checkpoints included) or ``.pth`` file, without wrapper prefixes.

    Raises InputError if the file can't be read, or holds more than tensors; no code inside it is ever executed.
    """
    if not path.is_file():
        raise InputError(f"{path}: no file of that name; {_EXPECTED}")
    content = read_tensors(path, expected=_EXPECTED)
    if isinstance(content, dict):
        content = next((content[entry] for entry in _ENTRIES if isinstance(content.get(entry), dict)), content)
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in content.items()
    ):
        raise InputError(f"{path}: not a state dict (names to tensors); save `model.state_dict()`")
    if odd := [name for name, tensor in content.items() if not is_plain(tensor)]:
        raise InputError(
            f"{path}: {odd[0]} is sparse, quantized, complex or without values ({len(odd)} such tensors); save a dense "
            "state dict of real numbers"
        )
    return _plain_names(content)


def mismatches(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> str:
    """Differences in names and shapes between two state dicts, with a few examples; empty if there are none."""
    kinds = {
        "missing": [name for name in wanted if name not in given],
        "unknown": [name for name in given if name not in wanted],
        "of another shape": [
            f"{name} {tuple(given[name].shape)} in place of {tuple(tensor.shape)}"
            for name, tensor in wanted.items()
            if name in given and given[name].shape != tensor.shape
        ],
    }
    return "; ".join(
        f"{len(names)} {kind} (such as {', '.join(names[:_NAMED])})" for kind, names in kinds.items() if names
    )


def read_tensors(path: Path, *, expected: str) -> Any:
    """What a ``.safetensors`` file or one of `torch.save` holds: tensors and plain values; nothing in it is executed.

    Raises InputError, which says what is `expected`, if the file can't be read.
    """
    try:
        if path.suffix.lower() == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror or error}); {expected}") from error
    except SafetensorError as error:
        raise InputError(f"{path}: can't be read as tensors ({error}); {expected}") from error
    except Exception as error:  # a damaged file can make the unpickler raise anything
        # PyTorch's own message advises switching the protection off.
        raise InputError(
            f"{path}: can't be read as tensors: damaged, or it holds more than tensors, which is never executed; "
            f"{expected}"
        ) from error


def is_plain(tensor: Tensor) -> bool:
    """Whether a tensor is dense and of real numbers, on the CPU."""
    dense = tensor.layout == torch.strided and not tensor.is_nested and tensor.device.type == "cpu"
    return dense and not tensor.is_quantized and not tensor.is_complex()


def _plain_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    if any(name.startswith("backbone.") for name in state):  # a whole checkpoint: the head is not the backbone's
        state = {name: tensor for name, tensor in state.items() if not name.startswith("head.")}
    for prefix in _PREFIXES:
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state
