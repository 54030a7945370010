"""Embeddings of a manifest's images: batched, flip-averaged, and resumable by shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from purify.config import EmbedConfig
from purify.faces.augment import to_input
from purify.manifest.io import atomic_path
from purify.manifest.loading import ImageLoader
from purify.models.checkpoint import Checkpoint
from purify.progress import Progress, silent
from purify.training.precision import Precision, autocast, default_device, resolve_precision

Vectors = npt.NDArray[np.float32]


class PixelExtractor(Protocol):
    """``pixels[N, 3, S, S]`` uint8 RGB -> unit embeddings float32[N, D]; S is `input_size`, D is `dim`."""

    input_size: int
    dim: int

    def __call__(self, pixels: npt.NDArray[np.uint8]) -> Vectors:
        """Embed a batch."""


class Extractor:
    """A checkpoint's backbone, ready to embed.

    Parameters
    ----------
    checkpoint
        Its backbone and input size are used.
    precision
        Of the backbone's trunk.
    flip
        Add the embedding of the mirror image.
    """

    def __init__(self, checkpoint: Checkpoint, *, precision: Precision = "auto", flip: bool = True) -> None:
        self._device = default_device()
        self._dtype = resolve_precision(precision, self._device, backbone=checkpoint.backbone_name)
        backbone, _ = checkpoint.build()
        backbone = backbone.eval().to(self._device)
        self._backbone: nn.Module = backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._flip = flip
        self.input_size = checkpoint.input_size
        self.dim = checkpoint.embedding_dim

    @torch.inference_mode()
    def __call__(self, pixels: npt.NDArray[np.uint8]) -> Vectors:
        """``pixels[N, 3, S, S]`` uint8 -> unit embeddings float32[N, D]: normalized f(x) + f(mirror x)."""
        images = to_input(torch.from_numpy(pixels).to(self._device))
        with autocast(self._device, self._dtype):
            embeddings = self._backbone(images).float()
            if self._flip:
                embeddings = embeddings + self._backbone(images.flip(3)).float()
        return torch.nn.functional.normalize(embeddings, dim=1).cpu().numpy()


def embed_images(
    extractor: PixelExtractor,
    sample_ids: Sequence[str],
    uris: Sequence[str],
    config: EmbedConfig,
    *,
    shards: Path,
    workers: int = 0,
    progress: Progress = silent,
) -> Iterator[Vectors]:
    """Yield the embeddings of the rows in order, a shard of ``config.shard_size`` at a time.

    Shards are kept as ``.npy`` files in `shards`; those that are there already are not computed again. The
    folder belongs to one extractor and one list of rows; the caller removes it when the embeddings are written.
    """
    shards.mkdir(parents=True, exist_ok=True)
    total = len(sample_ids)
    with ImageLoader(sample_ids, uris, size=extractor.input_size, workers=workers) as loader:
        for start in range(0, total, config.shard_size):
            stop = min(start + config.shard_size, total)
            path = shards / f"{start:09d}.npy"
            vectors = _load_shard(path)
            if vectors is None:
                vectors = _embed_rows(extractor, loader, np.arange(start, stop), config.batch_size, total, progress)
                _save_shard(path, vectors)
            progress(stop, total)
            yield vectors


def _embed_rows(
    extractor: PixelExtractor,
    loader: ImageLoader,
    rows: npt.NDArray[np.int64],
    batch_size: int,
    total: int,
    progress: Progress,
) -> Vectors:
    batches = (rows[i : i + batch_size] for i in range(0, len(rows), batch_size))
    parts = []
    for batch, pixels in loader.batches(batches):
        parts.append(extractor(pixels))
        progress(int(batch[-1]) + 1, total)
    return np.concatenate(parts)


def _load_shard(path: Path) -> Vectors | None:
    """A shard written before, or None."""
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None


def _save_shard(path: Path, vectors: Vectors) -> None:
    """Write a shard atomically."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.save(file, vectors, allow_pickle=False)
