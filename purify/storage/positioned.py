"""Reads of images by position in an open file, so that any number of threads share its descriptor."""

from __future__ import annotations

import errno
import os

from purify.storage.image_cache import refuse_huge

#: Largest image file; reading a larger one could exhaust the memory.
MAX_BYTES = 1 << 30
# A named pipe must not block the reader, and no child process should inherit the descriptor.
READ_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


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
