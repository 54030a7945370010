"""Pixels for training and embedding, decoded by threads while the device computes."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from purify.errors import InputError, PurifyError
from purify.images.decoding import decode_inspected, decode_rgb
from purify.storage.image_bytes import ImageByteReader


class ChangedImageError(InputError):
    """An image whose bytes are no longer those that were ingested."""


Indices = npt.NDArray[np.int64]
Pixels = npt.NDArray[np.uint8]
Prepared = TypeVar("Prepared")

#: Batches read in advance: enough to ride out a slow image, few enough for the memory.
AHEAD = 4
#: Images per task of a decoding thread; single images would cost more in scheduling.
_CHUNK = 16


def resolve_workers(workers: int) -> int:
    """Number of threads or processes; 0 means one per core available to this process."""
    return workers or max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


@dataclass(frozen=True)
class _Pending(Generic[Prepared]):
    """A batch being prepared."""

    rows: Indices
    chunks: Sequence[Future[None]]
    result: Future[Prepared]


class ImageLoader:
    """Decodes images by row number, in threads (the decoder releases the interpreter lock); nothing is forked.

    `size` is the side of the decoded square in pixels; `workers` 0 means one thread per core. The first
    rows, as many as fit into `cache_bytes` of memory, are decoded only once. Where `contents` has the SHA-256 of an
    image's bytes, other bytes are refused: what is embedded or learned is what was ingested. Those bytes are
    not searched for damage again.
    """

    def __init__(
        self,
        sample_ids: Sequence[str],
        uris: Sequence[str],
        *,
        size: int,
        contents: Sequence[str | None] = (),
        workers: int = 0,
        cache_bytes: int = 0,
    ) -> None:
        self._sample_ids = sample_ids
        self._uris = uris
        self._contents = contents
        self.size = size
        self._reader = ImageByteReader()
        self._decoders = ThreadPoolExecutor(resolve_workers(workers), thread_name_prefix="decode")
        self._finisher = ThreadPoolExecutor(1, thread_name_prefix="prepare")
        cached = min(len(uris), cache_bytes // (3 * size * size))
        self._cache = np.empty((cached, 3, size, size), np.uint8)  # pages are allocated at the first write
        self._is_cached = np.zeros(cached, np.bool_)

    def __enter__(self) -> ImageLoader:
        return self

    def __exit__(self, *_: object) -> None:
        for pool in (self._decoders, self._finisher):
            pool.shutdown(wait=True, cancel_futures=True)
        self._reader.close()

    def batches(self, batches: Iterable[Indices]) -> Iterator[tuple[Indices, Pixels]]:
        """Yield each of `batches` with its pixels uint8[n, 3, S, S]; see `prepared`."""
        return self.prepared(batches, lambda _position, _rows, pixels: pixels)

    def prepared(
        self, batches: Iterable[Indices], prepare: Callable[[int, Indices, Pixels], Prepared]
    ) -> Iterator[tuple[Indices, Prepared]]:
        """Yield each of `batches` (row numbers) with the result of `prepare`, in order, `AHEAD` batches in advance.

        `prepare` takes the number of the batch (from 0), its rows, and their pixels uint8[n, 3, S, S], which it may
        keep; it is called batch by batch, in a thread of its own. InputError names an image that can no longer be read.
        """
        submitted = (self._submit(number, rows, prepare) for number, rows in enumerate(batches))
        pending = deque[_Pending[Prepared]]()
        try:
            pending.extend(islice(submitted, AHEAD))
            while pending:
                batch = pending.popleft()
                result = batch.result.result()
                pending.extend(islice(submitted, 1))
                yield batch.rows, result
        finally:
            for batch in pending:
                for chunk in batch.chunks:
                    chunk.cancel()
                batch.result.cancel()

    def _submit(
        self, number: int, rows: Indices, prepare: Callable[[int, Indices, Pixels], Prepared]
    ) -> _Pending[Prepared]:
        pixels = np.empty((len(rows), 3, self.size, self.size), np.uint8)
        parts = [slice(start, start + _CHUNK) for start in range(0, len(rows), _CHUNK)]
        chunks = [self._decoders.submit(self._fill, rows[part], pixels[part]) for part in parts]

        def finish() -> Prepared:
            for chunk in chunks:
                chunk.result()
            return prepare(number, rows, pixels)

        return _Pending(rows, chunks, self._finisher.submit(finish))

    def _fill(self, rows: Indices, pixels: Pixels) -> None:
        """Write the pixels of `rows` to `pixels`, from the cache where possible."""
        for row, target in zip(rows.tolist(), pixels, strict=True):
            if row < len(self._cache) and self._is_cached[row]:
                target[:] = self._cache[row]
                continue
            target[:] = self._load(row)
            if row < len(self._cache):
                self._cache[row] = target
                self._is_cached[row] = True  # last: threads share the cache

    def _load(self, row: int) -> Pixels:
        """Pixels uint8[3, S, S] of one image."""
        try:
            data = self._reader.read(self._uris[row])
            decode = decode_inspected if self._is_inspected(row, data) else decode_rgb
            return decode(data, self.size).transpose(2, 0, 1)
        except ChangedImageError:
            raise
        except (OSError, PurifyError, ValueError, SyntaxError) as error:
            raise InputError(
                f"{self._sample_ids[row]}: readable at ingest, but not now ({error}); ingest the source again"
            ) from error

    def _is_inspected(self, row: int, data: bytes) -> bool:
        """Whether these are the bytes that ingest found whole; ChangedImageError if it saw others."""
        wanted = self._contents[row] if self._contents else None
        if wanted is not None and (found := hashlib.sha256(data).hexdigest()) != wanted:
            raise ChangedImageError(
                f"{self._sample_ids[row]}: another image than at ingest (its SHA-256 begins with {found[:12]}, not "
                f"{wanted[:12]}); ingest the source again: --resume RUN takes it in"
            )
        return wanted is not None
