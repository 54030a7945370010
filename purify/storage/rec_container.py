"""RecordIO files as containers of images: each is read at its place, without an index."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from purify.errors import InputError
from purify.storage.files import readable
from purify.storage.positioned import READ_FLAGS, read_spans
from purify.storage.recordio import CutRecordError, DamagedRecordError, unframe, unpack_image

#: Read at once: most faces of 112 px are smaller.
_FIRST_BYTES = 1 << 14
#: Farther ahead, the next record wanted is not the next of the file.
_MOST_BYTES = 1 << 16


def rec_key(key: int, offset: int) -> str:
    """Key of the record called `key` at `offset` in bytes."""
    return f"{key}/{offset}"


class RecImages:
    """A RecordIO file; see `purify.storage.containers.Container` and `rec_key`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with readable(path):
            self._descriptor = os.open(path, READ_FLAGS)

    def read(self, key: str) -> bytes:
        """The image of a record, without its header."""
        try:
            return unpack_image(self._payload(self._offset(key))).image
        except DamagedRecordError as error:
            raise OSError(errno.EIO, f"damaged record: {error}") from error

    def read_many(self, keys: Sequence[str]) -> Iterator[bytes | OSError]:
        """See `purify.storage.containers.BulkContainer`."""
        offsets = [self._offset(key) for key in keys]
        steps = [after - offset for offset, after in pairwise(offsets)]
        sizes = [step if 0 < step <= _MOST_BYTES else _FIRST_BYTES for step in (*steps, 0)]
        for key, data in zip(keys, read_spans(self._descriptor, offsets, sizes), strict=True):
            try:
                image = unpack_image(unframe(data)[0]).image if isinstance(data, bytes) else None
            except DamagedRecordError:  # perhaps longer than was read
                image = None
            yield self._read_alone(key) if image is None else image

    def _read_alone(self, key: str) -> bytes | OSError:
        try:
            return self.read(key)
        except OSError as error:
            return error

    def _offset(self, key: str) -> int:
        offset = key.rpartition("/")[2]
        if not offset.isdecimal():
            raise InputError(f"{self._path}: no record {key!r}; ingest the source again")
        return int(offset)

    def _payload(self, offset: int) -> bytes:
        size = _FIRST_BYTES
        while True:
            data = os.pread(self._descriptor, size, offset)
            try:
                return unframe(data)[0]
            except CutRecordError:
                if len(data) < size:
                    raise
            size *= 4

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)
