"""The interface of extractors, and a checkpoint's backbone as one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from purify.arrays import Vectors
from purify.faces.augment import to_input
from purify.models.checkpoint import Checkpoint
from purify.models.precision import Precision, autocast, default_device, resolve_precision
from purify.models.transfers import to_device, to_host

#: Images per task of a CPU thread: few, so that a batch of 32 keeps four cores busy.
_PIECE_ROWS = 8
#: Pieces are parts of this many images, and fewer than so many don't share a pass with their mirror images: on a CPU,
#: layers of tiny batches take kernels that round otherwise. Thus the bytes are those of purify 0.2, except for the last
#: 8 to 10 images of a float32 MobileFaceNet (1e-7).
_PART_ROWS, _FEW = 32, 4
#: Waits for the embeddings of a batch.
Pending = Callable[[], Vectors]


class PixelExtractor(Protocol):
    """``pixels[N, 3, S, S]`` uint8 RGB -> embeddings float32[N, D]; S is `input_size`, D is `dim`.

    `precision` is resolved: ``auto`` only if the model's file determines it.
    """

    input_size: int
    dim: int
    precision: Precision

    def __call__(self, pixels: npt.NDArray[np.uint8]) -> Vectors:
        """Embed a batch."""

    def start(self, pixels: npt.NDArray[np.uint8]) -> Pending:
        """Begin to embed a batch; on a GPU the next one can be started before this one is read."""


def start_forward(forward: Callable[[Tensor], Tensor], pixels: npt.NDArray[np.uint8], device: torch.device) -> Pending:
    """Begin ``forward(pixels)``, with equal bytes whatever the number of cores.

    A GPU has the whole batch in its queue when this returns. On a CPU the work is then done: the last digits of a layer
    depend on the number of threads that share it, at least in small batches. Therefore each piece of the batch (equal
    on all machines) is computed by one thread, with as many pieces at once as PyTorch has threads.
    """
    images = torch.from_numpy(pixels)
    if device.type != "cpu":
        read = to_host(forward(to_device(images, device)))
        return lambda: read().numpy()
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            embeddings = np.concatenate([part.numpy() for part in pool.map(forward, _pieces(images))])
    finally:
        torch.set_num_threads(threads)  # otherwise threads started later would inherit the single one
    return lambda: embeddings


def _pieces(images: Tensor) -> Iterator[Tensor]:
    for part in images.split(_PART_ROWS):
        yield from part.tensor_split(max(1, len(part) // _PIECE_ROWS))


def summed_with_mirrored(network: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """``images[N, 3, S, S]`` -> f(images) + f(mirror images), float32[N, D], in a single pass."""
    mirrored = images.flip(3)
    if len(images) < _FEW:
        return network(images).float() + network(mirrored).float()
    embeddings = network(torch.cat([images, mirrored])).float()
    return embeddings[: len(images)] + embeddings[len(images) :]


class Extractor:
    """A checkpoint's backbone, ready to embed; with `flip`, the embedding of the mirror image is added.

    With `lengths`, embeddings keep their lengths, which say how sharp a face is; else they are normalized.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        precision: Precision = "auto",
        flip: bool = True,
        lengths: bool = False,
        device: torch.device | None = None,
    ) -> None:
        self._device = device or default_device()
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
        return self.start(pixels)()

    def start(self, pixels: npt.NDArray[np.uint8]) -> Pending:
        """Begin to embed a batch."""
        return start_forward(self._forward, pixels, self._device)

    @torch.inference_mode()
    def _forward(self, pixels: Tensor) -> Tensor:
        with autocast(self._device, self._dtype):
            if self._flip:
                embeddings = summed_with_mirrored(lambda images: self._backbone(to_input(images)), pixels)
            else:
                embeddings = self._backbone(to_input(pixels)).float()
        return embeddings if self._lengths else torch.nn.functional.normalize(embeddings, dim=1)
