"""Numeric precision of the backbone, and the threads and device that compute it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal, cast

import torch

Precision = Literal["auto", "float32", "bfloat16", "float16"]


def default_device() -> torch.device:
    """CUDA where there is one, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def resolve_precision(precision: Precision, device: torch.device) -> torch.dtype:
    """The dtype that ``auto`` means on `device`.

    On a CPU bfloat16 pays only where it is computed in hardware (AMX tiles); emulated it is slower than float32.
    On CUDA it is bfloat16, or float16 (with loss scaling) where the card has no bfloat16.
    """
    if precision != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if device.type == "cpu" and torch.cpu._is_amx_tile_supported():
        return torch.bfloat16
    return torch.float32


def precision_here(precision: Precision) -> Precision:
    """`precision`, where ``auto`` gives way to the name of what it means on this machine."""
    return cast(Precision, str(resolve_precision(precision, default_device())).removeprefix("torch."))


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[None]:
    """Autocast to `dtype`; does nothing for float32."""
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not torch.float32)
