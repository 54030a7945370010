"""Image bytes by uri: files and members of uncompressed tars, local or on a store, from any number of threads."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from threading import Lock

from purify.storage.files import readable
from purify.storage.image_cache import RemoteImageReader, refuse_huge
from purify.storage.locations import Url, split_uri
from purify.storage.tar_index import TarIndex, index_tar

#: Largest image file; reading a larger one could exhaust the memory.
MAX_BYTES = 1 << 30
# A named pipe must not block the reader, and no child process should inherit the descriptor.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


class ImageByteReader:
    """Reads the bytes behind uris; thread safe.

    A tar is indexed at its first use and stays open until `close`; its members are read by position, so threads
    share the descriptor without waiting for each other. An image on a store takes one request.
    """

    def __init__(self) -> None:
        self._archives: dict[Path, tuple[int, TarIndex]] = {}
        self._remote = RemoteImageReader()
        self._lock = Lock()

    def __enter__(self) -> ImageByteReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the archives; a later `read` opens them again."""
        with self._lock:
            for descriptor, _ in self._archives.values():
                os.close(descriptor)
            self._archives.clear()
            self._remote = RemoteImageReader()

    def read(self, uri: str) -> bytes:
        """Return all bytes behind `uri`.

        OSError means a defect of the image: missing, unreadable, not a plain file, or larger than `MAX_BYTES`. Other
        errors concern its source: InputError if `uri` has no known form, its archive is damaged or lacks the member,
        or a store denies access; PurifyError if a store doesn't answer.
        """
        place, member = split_uri(uri)
        if isinstance(place, Url):
            return self._remote.read(place, member, most=MAX_BYTES)
        return _read_file(place) if member is None else self._read_member(place, member)

    def stamp(self, uri: str) -> str | None:
        """Size and modification time of the file behind `uri`, or its version on a store; None if unavailable.

        An unchanged stamp means unchanged bytes. A member of a tar has the stamp of the archive.
        """
        place, _ = split_uri(uri)
        if isinstance(place, Url):
            return self._remote.stamp(place)
        try:
            status = place.stat()
        except OSError:
            return None
        return f"{status.st_size}-{status.st_mtime_ns}"

    def _read_member(self, path: Path, member: str) -> bytes:
        descriptor, index = self._archive(path)
        offset, size = index.position(path, member)
        refuse_huge(size, MAX_BYTES)
        return _pread(descriptor, offset, size)

    def _archive(self, path: Path) -> tuple[int, TarIndex]:
        if (known := self._archives.get(path)) is not None:
            return known
        with self._lock:
            if path not in self._archives:
                index = index_tar(path)
                with readable(path):
                    self._archives[path] = (os.open(path, _FLAGS), index)
            return self._archives[path]


def _read_file(path: Path) -> bytes:
    descriptor = os.open(path, _FLAGS)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a plain file")
        refuse_huge(status.st_size, MAX_BYTES)
        return _pread(descriptor, 0, status.st_size)
    finally:
        os.close(descriptor)


def _pread(descriptor: int, offset: int, size: int) -> bytes:
    parts = []
    while size > 0:
        part = os.pread(descriptor, size, offset)
        if not part:
            raise OSError(errno.EIO, "the file ends before the image does; it changed during the read")
        parts.append(part)
        offset, size = offset + len(part), size - len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
