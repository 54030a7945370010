"""The interface of extractors, and a checkpoint's backbone as one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from purify.arrays import Vectors
from purify.faces.augment import to_input
from purify.models.checkpoint import Checkpoint
from purify.models.precision import Precision, autocast, default_device, resolve_precision

#: Rows per task of a CPU thread.
_PIECE_ROWS = 32


class PixelExtractor(Protocol):
    """``pixels[N, 3, S, S]`` uint8 RGB -> embeddings float32[N, D]; S is `input_size`, D is `dim`.

    `precision` is resolved: ``auto`` only if the model's file determines it.
    """

    input_size: int
    dim: int
    precision: Precision

    def __call__(self, pixels: npt.NDArray[np.uint8]) -> Vectors:
        """Embed a batch."""


def on_all_cores(
    forward: Callable[[npt.NDArray[np.uint8]], Vectors], pixels: npt.NDArray[np.uint8], device: torch.device
) -> Vectors:
    """``forward(pixels)``, with equal bytes whatever the number of cores.

    On a CPU the last digits of a layer depend on the number of threads that share it, at least in small batches.
    Therefore each piece of the batch (equal on all machines) is computed by one thread, with as many pieces at
    once as PyTorch has threads.
    """
    if device.type != "cpu":
        return forward(pixels)
    threads = torch.get_num_threads()
    pieces = [pixels[start : start + _PIECE_ROWS] for start in range(0, len(pixels), _PIECE_ROWS)]
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return np.concatenate(list(pool.map(forward, pieces)))
    finally:
        torch.set_num_threads(threads)  # otherwise threads started later would inherit the single one


class Extractor:
    """A checkpoint's backbone, ready to embed; with `flip`, the embedding of the mirror image is added.

    With `lengths`, embeddings keep their lengths, which say how sharp a face is; else they are normalized.
    """

    def __init__(
        self, checkpoint: Checkpoint, *, precision: Precision = "auto", flip: bool = True, lengths: bool = False
    ) -> None:
        self._device = default_device()
        self._dtype = resolve_precision(precision, self._device, backbone=checkpoint.backbone_name)
        backbone, _ = checkpoint.build()
        backbone = backbone.eval().to(self._device)
        self._backbone: nn.Module = backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._flip, self._lengths = flip, lengths
        self.input_size = checkpoint.input_size
        self.dim = checkpoint.embedding_dim
        self.precision = cast(Precision, str(self._dtype).removeprefix("torch."))

    def __call__(self, pixels: npt.NDArray[np.uint8]) -> Vectors:
        """``pixels[N, 3, S, S]`` uint8 -> unit embeddings float32[N, D]: normalized f(x) + f(mirror x)."""
        return on_all_cores(self._forward, pixels, self._device)

    @torch.inference_mode()
    def _forward(self, pixels: npt.NDArray[np.uint8]) -> Vectors:
        images = to_input(torch.from_numpy(pixels).to(self._device))
        with autocast(self._device, self._dtype):
            embeddings = self._backbone(images).float()
            if self._flip:
                embeddings = embeddings + self._backbone(images.flip(3)).float()
        embeddings = embeddings if self._lengths else torch.nn.functional.normalize(embeddings, dim=1)
        return embeddings.cpu().numpy()
