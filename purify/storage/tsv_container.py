"""Text files with an image in base64 on each line, such as MS-Celeb-1M's TSV, as containers read by position."""

from __future__ import annotations

import base64
import binascii
import errno
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from purify.errors import InputError
from purify.storage.files import readable
from purify.storage.positioned import READ_FLAGS, read_spans

_KEY = re.compile(r"(?P<start>[0-9]+)/(?P<length>[0-9]+)")


def text_key(start: int, length: int) -> str:
    """Key of the image whose base64 begins at byte `start` and is `length` bytes long."""
    return f"{start}/{length}"


class SpanImages:
    """A file whose images lie in it as they are; see `purify.storage.containers.Container` and `text_key`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with readable(path):
            self._descriptor = os.open(path, READ_FLAGS)

    def read(self, key: str) -> bytes:
        """The image at a position."""
        content = next(self.read_many([key]))
        if isinstance(content, OSError):
            raise content
        return content

    def read_many(self, keys: Sequence[str]) -> Iterator[bytes | OSError]:
        """See `purify.storage.containers.BulkContainer`."""
        places = [self._place(key) for key in keys]
        starts, lengths = ([place[k] for place in places] for k in (0, 1))
        yield from map(self._decoded, read_spans(self._descriptor, starts, lengths))

    def _place(self, key: str) -> tuple[int, int]:
        found = _KEY.fullmatch(key)
        if found is None:
            raise InputError(f"{self._path}: no image {key!r}; ingest the source again")
        return int(found["start"]), int(found["length"])

    def _decoded(self, content: bytes | OSError) -> bytes | OSError:
        return content

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


class TsvImages(SpanImages):
    """A text file with images in base64."""

    def _decoded(self, content: bytes | OSError) -> bytes | OSError:
        if isinstance(content, OSError):
            return content
        try:
            return base64.b64decode(content, validate=True)
        except binascii.Error as error:
            return OSError(errno.EIO, f"not an image in base64: {error}")
