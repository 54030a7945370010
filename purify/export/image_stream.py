"""The bytes of many images, in order, read ahead by threads."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import pyarrow as pa

from purify.errors import InputError, PurifyError
from purify.images.encoding import ENCODED_SUFFIX, file_kind, square_jpeg
from purify.images.loading import resolve_workers
from purify.storage.image_bytes import ImageByteReader

#: Images per task of a thread, and tasks read in advance for each thread.
_CHUNK = 16
_AHEAD = 2


@dataclass(frozen=True)
class Edit:
    """What is done to images, which are then encoded anew: the central square, of `size` pixels if given."""

    size: int | None = None

    #: Suffix of all edited images.
    suffix = ENCODED_SUFFIX

    def __call__(self, data: bytes) -> bytes:
        """The edited image."""
        return square_jpeg(data, self.size)


@dataclass(frozen=True, slots=True)
class ExportedImage:
    """One image of an export."""

    #: Place among the rows of its part.
    row: int
    sample_id: str
    label: str
    label_id: int
    data: bytes

    @property
    def kind(self) -> str:
        """Usual suffix of such a file, without its dot."""
        return file_kind(self.data)


class ImageStream:
    """Reads images in order; with `edit`, they are encoded anew. `workers` 0 means one thread per core."""

    def __init__(self, edit: Edit | None = None, *, workers: int = 0) -> None:
        self.edit = edit
        self._workers = resolve_workers(workers)
        self._reader = ImageByteReader()
        self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="export")

    def __enter__(self) -> ImageStream:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._reader.close()

    def images(self, rows: pa.Table, start: int = 0) -> Iterator[ExportedImage]:
        """Yield the images of `rows` (schema `SELECTED`) from the row `start` on.

        InputError names an image that can't be read any more, or whose bytes are no longer those of its ``sha256``.
        """
        offsets = range(start, len(rows), _CHUNK)
        return self._ahead(lambda offset: self._load(rows, offset), offsets)

    def _ahead(self, load: Callable[[int], list[ExportedImage]], offsets: range) -> Iterator[ExportedImage]:
        submitted = (self._pool.submit(load, offset) for offset in offsets)
        pending = deque[Future[list[ExportedImage]]]()
        try:
            pending.extend(islice(submitted, _AHEAD * self._workers))
            while pending:
                loaded = pending.popleft().result()
                pending.extend(islice(submitted, 1))
                yield from loaded
        finally:
            for future in pending:
                future.cancel()

    def _load(self, rows: pa.Table, offset: int) -> list[ExportedImage]:
        some = rows.slice(offset, _CHUNK).select(["sample_id", "label", "label_id", "uri", "sha256"])
        columns = [column.to_pylist() for column in some.columns]
        return [
            ExportedImage(offset + place, sample, label, label_id, self._read(sample, uri, sha256))
            for place, (sample, label, label_id, uri, sha256) in enumerate(zip(*columns, strict=True))
        ]

    def _read(self, sample_id: str, uri: str, sha256: str | None) -> bytes:
        try:
            data = self._reader.read(uri)
            if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
                raise InputError("its bytes are other ones")
            return data if self.edit is None else self.edit(data)
        except (OSError, PurifyError) as error:
            raise InputError(
                f"{sample_id}: not the image that was ingested ({error}); ingest the source again"
            ) from error
