"""Embeddings of a manifest's images: batched, flip-averaged, and resumable by shards."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from purify.arrays import Vectors
from purify.blocks import RunBlocks, load_result, run_here, run_pending, save_array
from purify.config import EmbedConfig, ExtractorConfig
from purify.errors import CheckpointError
from purify.faces.augment import to_input
from purify.manifest.io import sha256_file
from purify.manifest.loading import ImageLoader
from purify.models.checkpoint import Checkpoint
from purify.progress import Progress, silent
from purify.training.precision import Precision, autocast, default_device, resolve_precision

#: Rows that a CPU's thread computes at a time.
_PIECE_ROWS = 32


class PixelExtractor(Protocol):
    """``pixels[N, 3, S, S]`` uint8 RGB -> unit embeddings float32[N, D]; S is `input_size`, D is `dim`.

    `precision` is settled: not ``auto``, unless the model's file alone decides.
    """

    input_size: int
    dim: int
    precision: Precision

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
        self.precision = cast(Precision, str(self._dtype).removeprefix("torch."))

    def __call__(self, pixels: npt.NDArray[np.uint8]) -> Vectors:
        """``pixels[N, 3, S, S]`` uint8 -> unit embeddings float32[N, D]: normalized f(x) + f(mirror x).

        On a CPU a layer's last digits depend on how many threads share it, in small batches at least. So pieces of
        the batch, the same ones everywhere, are computed by one thread each, as many at once as PyTorch has threads.
        """
        if self._device.type != "cpu":
            return self._forward(pixels)
        threads = torch.get_num_threads()
        pieces = [pixels[start : start + _PIECE_ROWS] for start in range(0, len(pixels), _PIECE_ROWS)]
        try:
            with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                return np.concatenate(list(pool.map(self._forward, pieces)))
        finally:
            torch.set_num_threads(threads)  # threads that start from now on would else have one, as the last ones

    @torch.inference_mode()
    def _forward(self, pixels: npt.NDArray[np.uint8]) -> Vectors:
        images = to_input(torch.from_numpy(pixels).to(self._device))
        with autocast(self._device, self._dtype):
            embeddings = self._backbone(images).float()
            if self._flip:
                embeddings = embeddings + self._backbone(images.flip(3)).float()
        return torch.nn.functional.normalize(embeddings, dim=1).cpu().numpy()


@dataclass(frozen=True)
class EmbedBlock:
    """Some rows to embed.

    Attributes
    ----------
    model, digest, extractor
        Folder of a checkpoint or file of an extractor; the SHA-256 of its file, lest a worker hold another one under
        that path; and what the file leaves open.
    sample_ids, uris
        One of each a row.
    start
        Number of the first row among all.
    batch_size, flip, precision
        How they are embedded; `precision` is not ``auto``, which would mean what the worker's device likes best.
    decoders
        Decoding threads; 0: one a core.
    out
        The ``.npy`` file, float32 [rows, D].
    """

    model: str
    digest: str
    extractor: ExtractorConfig
    sample_ids: tuple[str, ...]
    uris: tuple[str, ...]
    start: int
    batch_size: int
    flip: bool
    precision: Precision
    decoders: int
    out: str

    @property
    def name(self) -> str:
        """``embed START-STOP``."""
        return f"embed {self.start}-{self.start + self.rows}"

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.sample_ids)

    def run(self, progress: Progress = silent) -> None:
        """Embed the rows in batches, always the same ones."""
        extractor = _extractor(self.model, self.digest, self.extractor, self.precision, self.flip)
        rows = np.arange(self.rows)
        batches = (rows[i : i + self.batch_size] for i in range(0, self.rows, self.batch_size))
        parts = []
        with ImageLoader(self.sample_ids, self.uris, size=extractor.input_size, workers=self.decoders) as loader:
            for batch, pixels in loader.batches(batches):
                parts.append(extractor(pixels))
                progress(int(batch[-1]) + 1, self.rows)
        save_array(Path(self.out), np.concatenate(parts))


_loading = threading.Lock()


def _extractor(model: str, digest: str, config: ExtractorConfig, precision: Precision, flip: bool) -> PixelExtractor:
    """The extractor that this process used last, if it is the one; the lock keeps threads from loading it twice."""
    with _loading:
        return _load_extractor(model, digest, config, precision, flip)


@lru_cache(maxsize=1)
def _load_extractor(
    model: str, digest: str, config: ExtractorConfig, precision: Precision, flip: bool
) -> PixelExtractor:
    from purify.embedding.extractors import model_file, open_extractor  # it imports this module

    path = Path(model)
    if sha256_file(model_file(path)) != digest:
        raise CheckpointError(f"{path}: not the model that the run is embedding with; share the run's folder")
    return open_extractor(path, config, precision=precision, flip=flip)


def embed_images(
    model: Path,
    sample_ids: Sequence[str],
    uris: Sequence[str],
    config: EmbedConfig,
    *,
    shards: Path,
    contents: Sequence[str] = (),
    extractor: ExtractorConfig,
    precision: Precision,
    decoders: int = 0,
    run_blocks: RunBlocks = run_here,
    progress: Progress = silent,
) -> Iterator[Vectors]:
    """Embed the rows, then yield their embeddings in order, ``config.shard_size`` rows at a time.

    Each shard is a block, kept in a folder whose name begins with that of `shards` and goes on with a hash of what
    decides the bytes; shards that are there already are not computed again. The folder is removed when all have been
    taken.

    Parameters
    ----------
    model, extractor
        Folder of a checkpoint or file of an extractor, and what the file leaves open.
    sample_ids, uris, contents
        One of each a row; `contents` are hashes of the images' bytes, where they are known.
    precision
        That of an opened extractor: ``auto`` would mean what each worker's device likes best.
    run_blocks
        Who does the blocks.
    """
    from purify.embedding.extractors import model_file  # it imports this module

    weights = sha256_file(model_file(model))
    settings = [precision, config.model_dump(), extractor.model_dump(exclude={"file"})]
    decides = [weights, settings, list(sample_ids), list(uris), list(contents)]
    digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
    folder = shards.with_name(f"{shards.name}-{digest[:16]}")
    folder.mkdir(parents=True, exist_ok=True)
    starts = range(0, len(sample_ids), config.shard_size)
    blocks = [
        EmbedBlock(
            model=str(model.resolve()),
            digest=weights,
            extractor=extractor,
            sample_ids=tuple(sample_ids[start : start + config.shard_size]),
            uris=tuple(uris[start : start + config.shard_size]),
            start=start,
            batch_size=config.batch_size,
            flip=config.flip,
            precision=precision,
            decoders=decoders,
            out=str(folder.resolve() / f"{start:09d}.npy"),
        )
        for start in starts
    ]
    run_pending(blocks, run_blocks, progress)
    _load_extractor.cache_clear()
    for block in blocks:
        yield load_result(Path(block.out))
    shutil.rmtree(folder)
