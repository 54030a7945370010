"""Pixels for training and embedding: rows of a manifest, decoded by a pool of threads."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from types import TracebackType

import numpy as np
import numpy.typing as npt

from purify.errors import InputError, PurifyError
from purify.manifest.blobs import BlobReader
from purify.manifest.decode import decode_rgb

Indices = npt.NDArray[np.int64]
Pixels = npt.NDArray[np.uint8]


def resolve_workers(workers: int) -> int:
    """Number of threads or processes at work; 0 means one for each core that this process may use."""
    return workers or max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


class ImageLoader:
    """Decodes images by their row, in threads (the decoder releases the interpreter lock).

    Parameters
    ----------
    sample_ids, uris
        One of each a row.
    size
        Side of the decoded square in pixels.
    workers
        Threads; 0 means one a core.
    """

    def __init__(self, sample_ids: Sequence[str], uris: Sequence[str], *, size: int, workers: int = 0) -> None:
        self._sample_ids = sample_ids
        self._uris = uris
        self.size = size
        self._reader = BlobReader()
        self._pool = ThreadPoolExecutor(resolve_workers(workers), thread_name_prefix="decode")

    def __enter__(self) -> ImageLoader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._reader.close()

    def batches(self, batches: Iterable[Indices], *, ahead: int = 4) -> Iterator[tuple[Indices, Pixels]]:
        """Each of `batches` with its pixels uint8[n, 3, S, S], in order; `ahead` batches are decoded in advance.

        Raises
        ------
        InputError
            If an image can't be read any more, naming it.
        """
        source = iter(batches)
        pending: deque[tuple[Indices, list[Future[Pixels]]]] = deque()
        try:
            for batch in islice(source, ahead):
                pending.append(self._submit(batch))
            while pending:
                batch, futures = pending.popleft()
                pixels = np.stack([future.result() for future in futures])
                for following in islice(source, 1):
                    pending.append(self._submit(following))
                yield batch, pixels
        finally:
            for _, futures in pending:
                for future in futures:
                    future.cancel()

    def _submit(self, batch: Indices) -> tuple[Indices, list[Future[Pixels]]]:
        return batch, [self._pool.submit(self._load, int(row)) for row in batch]

    def _load(self, row: int) -> Pixels:
        try:
            image = decode_rgb(self._reader.read(self._uris[row]), self.size)
        except (OSError, PurifyError, ValueError, SyntaxError) as error:
            raise InputError(
                f"{self._sample_ids[row]}: readable at ingest, but not now ({error}); ingest the source again"
            ) from error
        return np.ascontiguousarray(image.transpose(2, 0, 1))
