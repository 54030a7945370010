"""Copies between this machine's memory and a device that wait for no computation but their own."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy of a host `tensor` on `device`, queued behind its present work; on a CPU the tensor itself.

    To a CUDA device it goes through page-locked memory, the only kind from which a copy doesn't stop the caller.
    """
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def to_host(tensor: Tensor) -> Callable[[], Tensor]:
    """Begin to copy `tensor` to the host; the function that is returned waits for it, not for later work.

    Examples
    --------
    >>> import torch
    >>> read = to_host(torch.arange(3))
    >>> read().tolist()
    [0, 1, 2]
    """
    if tensor.device.type != "cuda":
        copy = tensor.cpu()
        return lambda: copy
    target = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    target.copy_(tensor, non_blocking=True)
    copied = torch.cuda.current_stream(tensor.device).record_event()

    def read() -> Tensor:
        copied.synchronize()
        return target.clone()  # page-locked memory is scarce

    return read
