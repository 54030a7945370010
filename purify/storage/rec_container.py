"""RecordIO files as containers of images: each is read at its place, without an index."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from purify.errors import InputError
from purify.storage.files import readable
from purify.storage.positioned import READ_FLAGS
from purify.storage.recordio import CutRecordError, DamagedRecordError, unframe, unpack_image

#: Read at once: most faces of 112 px are smaller.
_FIRST_BYTES = 1 << 14


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
        offset = key.rpartition("/")[2]
        if not offset.isdecimal():
            raise InputError(f"{self._path}: no record {key!r}; ingest the source again")
        try:
            return unpack_image(self._payload(int(offset))).image
        except DamagedRecordError as error:
            raise OSError(errno.EIO, f"damaged record: {error}") from error

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
