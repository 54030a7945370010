"""Compute device, and numeric precision of the backbone."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal

import torch

from purify.models.iresnet import IRESNETS

#: Minimum channels in the first stage of a wide network.
_WIDE_CHANNELS = 64
_WIDE = frozenset(name for name, spec in IRESNETS.items() if spec.channels[0] >= _WIDE_CHANNELS)

Precision = Literal["auto", "float32", "bfloat16", "float16", "float64"]


def default_device() -> torch.device:
    """CUDA if available, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def resolve_precision(precision: Precision, device: torch.device, *, backbone: str) -> torch.dtype:
    """The dtype of a `precision`; ``auto`` depends on backbone and `device`.

    On a CPU, bfloat16 pays off only in hardware: emulated, it is slower than float32. With AMX tiles all backbones
    gain. With AVX512-BF16 the wide IResNets do (a step of IResNet-50 took 0.57 of the float32 time), narrow networks
    don't (`iresnet_small` at 48 pixels 1.06, MobileFaceNet 1.03), so these keep the more accurate float32. On CUDA
    ``auto`` is bfloat16, or float16 (with loss scaling) on cards without bfloat16.
    """
    if precision != "auto":
        return getattr(torch, precision)
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if device.type == "cpu" and torch.cpu._is_amx_tile_supported():
        return torch.bfloat16
    if device.type == "cpu" and torch.cpu._is_avx512_bf16_supported() and backbone in _WIDE:
        return torch.bfloat16
    return torch.float32


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[None]:
    """Autocast to `dtype` if it is of lower precision than the weights."""
    return torch.autocast(device.type, dtype=dtype, enabled=dtype in (torch.bfloat16, torch.float16))
