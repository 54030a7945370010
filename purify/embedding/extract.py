"""Embedding of images: batched, flip-averaged, and resumable by shards."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from purify.arrays import Vectors
from purify.config import EmbedConfig, ExtractorConfig
from purify.embedding.backbone import Pending, PixelExtractor
from purify.embedding.blocks import RunBlocks, load_result, run_here, run_pending
from purify.embedding.extractors import model_file, open_extractor
from purify.embedding.shard_writer import ShardWriter
from purify.errors import CheckpointError
from purify.images.loading import ImageLoader
from purify.models.precision import Precision
from purify.progress import Progress, silent
from purify.storage.files import sha256_file
from purify.storage.hashes import sha256_json
from purify.storage.own_files import claim_work, remove_work

#: Names of shards: the number of their first row.
SHARD = re.compile(r"\d{9,}\.npy")


@dataclass(frozen=True)
class EmbedBlock:
    """A block of rows to embed."""

    #: Folder of a checkpoint or file of an extractor.
    model: str
    #: SHA-256 of the file, to detect another one at that path on a worker.
    digest: str
    #: Settings missing from the file.
    extractor: ExtractorConfig
    sample_ids: tuple[str, ...]
    uris: tuple[str, ...]
    #: SHA-256 of the images' bytes where known; none at all if empty.
    contents: tuple[str | None, ...]
    #: Index of the first row among all rows.
    start: int
    batch_size: int
    flip: bool
    #: Resolved, since ``auto`` would depend on the worker's device.
    precision: Precision
    #: Decoding threads; 0: one per core.
    decoders: int
    #: The ``.npy`` file, float32 [rows, D].
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
        """Embed the rows, always in the same batches."""
        self.run_together([self], progress)

    @classmethod
    def run_together(cls, blocks: Sequence[EmbedBlock], progress: Progress = silent) -> None:
        """Embed the rows of several blocks, which differ in nothing else, through one loader.

        Images of the next block are decoded while one is computed and another written; a kill loses those two.
        """
        first, total, done = blocks[0], sum(block.rows for block in blocks), 0
        extractor = _extractor(first.model, first.digest, first.extractor, first.precision, first.flip)
        contents = [content for block in blocks for content in block.contents]
        loader = ImageLoader(
            [name for block in blocks for name in block.sample_ids],
            [uri for block in blocks for uri in block.uris],
            size=extractor.input_size,
            contents=contents,
            workers=first.decoders,
        )
        with loader, ShardWriter(blocks) as writer:
            for vectors in _embedded(extractor, loader.batches(_batches(blocks))):
                writer.add(vectors)
                done += len(vectors)
                progress(done, total)


def _batches(blocks: Sequence[EmbedBlock]) -> Iterator[npt.NDArray[np.int64]]:
    """Row numbers of each batch among the rows of all blocks; no batch crosses the end of a block."""
    first = 0
    for block in blocks:
        stop = first + block.rows
        for start in range(first, stop, block.batch_size):
            yield np.arange(start, min(start + block.batch_size, stop))
        first = stop


def _embedded(
    extractor: PixelExtractor, batches: Iterable[tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]]
) -> Iterator[Vectors]:
    """Yield the embeddings of each batch once the next one is in the device's queue, which is thus never empty."""
    started: Pending | None = None
    for _, pixels in batches:
        before, started = started, extractor.start(pixels)
        if before is not None:
            yield before()
    if started is not None:
        yield started()


_loading = threading.Lock()


def _extractor(model: str, digest: str, config: ExtractorConfig, precision: Precision, flip: bool) -> PixelExtractor:
    """The last extractor of this process if it fits, else a new one; the lock prevents loading twice."""
    with _loading:
        return _load_extractor(model, digest, config, precision, flip)


@lru_cache(maxsize=1)
def _load_extractor(
    model: str, digest: str, config: ExtractorConfig, precision: Precision, flip: bool
) -> PixelExtractor:
    path = Path(model)
    if sha256_file(model_file(path)) != digest:
        raise CheckpointError(f"{path}: not the model of this run's embeddings; share the run's folder")
    return open_extractor(path, config, precision=precision, flip=flip)


def embed_images(
    model: Path,
    sample_ids: Sequence[str],
    uris: Sequence[str],
    config: EmbedConfig,
    *,
    shards: Path,
    contents: Sequence[str | None] = (),
    extractor: ExtractorConfig,
    precision: Precision,
    decoders: int = 0,
    run_blocks: RunBlocks = run_here,
    progress: Progress = silent,
) -> Iterator[Vectors]:
    """Embed the rows, then yield their embeddings in order, ``config.shard_size`` rows at a time.

    Each shard is a block. Its file is kept in a folder named after `shards` and a hash of all inputs, so that a
    resumed run computes missing shards only. The folder is removed once the last shard is consumed.

    `contents` are hashes of the images' bytes, where known, which they must still have; `model`, `extractor` and
    `precision` are as in `EmbedBlock`.
    """
    weights = sha256_file(model_file(model))
    settings = [precision, config.model_dump(), extractor.model_dump(exclude={"name"})]
    digest = sha256_json([weights, settings, list(sample_ids), list(uris), list(contents)])
    folder = shards.with_name(f"{shards.name}-{digest[:16]}")
    claim_work(folder)
    blocks = [
        EmbedBlock(
            model=str(model.resolve()),
            digest=weights,
            extractor=extractor,
            sample_ids=tuple(sample_ids[start : start + config.shard_size]),
            uris=tuple(uris[start : start + config.shard_size]),
            contents=tuple(contents[start : start + config.shard_size]),
            start=start,
            batch_size=config.batch_size,
            flip=config.flip,
            precision=precision,
            decoders=decoders,
            out=str(folder.resolve() / f"{start:09d}.npy"),
        )
        for start in range(0, len(sample_ids), config.shard_size)
    ]
    run_pending(blocks, run_blocks, progress)
    _load_extractor.cache_clear()
    for block in blocks:
        yield load_result(Path(block.out))
    remove_work(folder, SHARD)
