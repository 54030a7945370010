"""Text files with an image in base64 on each line, such as MS-Celeb-1M's TSV, as containers read by position."""

from __future__ import annotations

import base64
import binascii
import errno
import os
import re
from pathlib import Path

from purify.errors import InputError
from purify.storage.files import readable
from purify.storage.positioned import READ_FLAGS, read_at

_KEY = re.compile(r"(?P<start>[0-9]+)/(?P<length>[0-9]+)")


def text_key(start: int, length: int) -> str:
    """Key of the image whose base64 begins at byte `start` and is `length` bytes long."""
    return f"{start}/{length}"


class TsvImages:
    """A text file; see `purify.storage.containers.Container` and `text_key`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with readable(path):
            self._descriptor = os.open(path, READ_FLAGS)

    def read(self, key: str) -> bytes:
        """The decoded image."""
        found = _KEY.fullmatch(key)
        if found is None:
            raise InputError(f"{self._path}: no image {key!r}; ingest the source again")
        text = read_at(self._descriptor, int(found["start"]), int(found["length"]))
        try:
            return base64.b64decode(text, validate=True)
        except binascii.Error as error:
            raise OSError(errno.EIO, f"not an image in base64: {error}") from error

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)
