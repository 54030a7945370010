"""Reads of images by position in an open file, so that any number of threads share its descriptor."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence

from purify.storage.image_cache import refuse_huge

#: Largest image file; reading a larger one could exhaust the memory.
MAX_BYTES = 1 << 30
# A named pipe must not block the reader, and no child process should inherit the descriptor.
READ_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)

#: Bytes read at once, and between images that are read at once: headers and short texts.
_MOST_AT_ONCE, _MOST_BETWEEN = 1 << 20, 1 << 12


def read_at(descriptor: int, offset: int, size: int) -> bytes:
    """Read `size` bytes of an image at `offset` of an open file; OSError if the file ends before, or on a huge size."""
    refuse_huge(size, MAX_BYTES)
    parts = []
    while size > 0:
        part = os.pread(descriptor, size, offset)
        if not part:
            raise OSError(errno.EIO, "the file ends before the image does; it changed during the read")
        parts.append(part)
        offset, size = offset + len(part), size - len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def read_spans(descriptor: int, offsets: Sequence[int], sizes: Sequence[int]) -> Iterator[bytes | OSError]:
    """Yield the contents of spans of an open file, as `read_at`; those that follow each other closely cost one read.

    An error takes the place of a span that can't be read.
    """
    first = 0
    while first < len(offsets):
        start, after = offsets[first], _end_of_run(offsets, sizes, first)
        together = (
            _read_together(descriptor, start, offsets[after - 1] + sizes[after - 1]) if after - first > 1 else b""
        )
        for row in range(first, after):
            content = together[offsets[row] - start : offsets[row] - start + sizes[row]]
            yield (
                content if content and len(content) == sizes[row] else _read_alone(descriptor, offsets[row], sizes[row])
            )
        first = after


def _end_of_run(offsets: Sequence[int], sizes: Sequence[int], first: int) -> int:
    """Row behind the last one to be read together with the `first`."""
    row = first + 1
    while row < len(offsets):
        gap = offsets[row] - offsets[row - 1] - sizes[row - 1]
        if not 0 <= gap <= _MOST_BETWEEN or offsets[row] + sizes[row] - offsets[first] > _MOST_AT_ONCE:
            break
        row += 1
    return row


def _read_together(descriptor: int, start: int, end: int) -> bytes:
    """Up to all bytes between two positions; none on an error, which reads of less will tell."""
    try:
        return os.pread(descriptor, end - start, start)
    except OSError:
        return b""


def _read_alone(descriptor: int, offset: int, size: int) -> bytes | OSError:
    try:
        return read_at(descriptor, offset, size)
    except OSError as error:
        return error
