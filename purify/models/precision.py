"""Compute device, and numeric precision of the backbone."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Literal

import torch

from purify.errors import InputError
from purify.models.iresnet import IRESNETS

#: Minimum channels in the first stage of a wide network.
_WIDE_CHANNELS = 64
_WIDE = frozenset(name for name, spec in IRESNETS.items() if spec.channels[0] >= _WIDE_CHANNELS)

Precision = Literal["auto", "float32", "bfloat16", "float16", "float64"]


#: The one switch for all that computes on a device, which child processes inherit: ``auto`` (the default) or a type.
DEVICE_SWITCH = "PURIFY_DEVICE"


def default_device() -> torch.device:
    """The device that `DEVICE_SWITCH` names; by default CUDA if available, else Apple's MPS, else the CPU.

    InputError if the named device is not available.
    """
    available: dict[str, Callable[[], bool]] = {
        "cuda": torch.cuda.is_available,
        "mps": torch.backends.mps.is_available,
        "cpu": lambda: True,
    }
    wanted = os.environ.get(DEVICE_SWITCH, "auto")
    if wanted != "auto" and not available.get(wanted, lambda: False)():
        raise InputError(
            f"{DEVICE_SWITCH}={wanted}: PyTorch {torch.__version__} has no such device here; set it to auto, "
            f"{', '.join(available)}, or install a build of PyTorch for this device"
        )
    return torch.device(next(kind for kind, is_there in available.items() if wanted in ("auto", kind) and is_there()))


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
