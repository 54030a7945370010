"""Images on stores: fetched once per machine and cached, since training reads each image in every epoch."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from threading import Lock

from purify.errors import PurifyError
from purify.storage import remote
from purify.storage.files import atomic_path
from purify.storage.hashes import sha256_text
from purify.storage.locations import Url
from purify.storage.tar_index import TarIndex, index_tar

#: Environment variable; ``0`` turns the cache off, for a source larger than the disk.
KEEP_IMAGES = "PURIFY_CACHE_IMAGES"


class RemoteImageReader:
    """Reads files and members of uncompressed tars at URLs; thread safe.

    The cache is keyed by URL and version. Versions come from listings of folders, a thousand per request; without
    listings nothing is cached.
    """

    def __init__(self) -> None:
        self._folders: dict[Url, dict[str, str]] = {}
        self._archives: dict[Url, tuple[str, TarIndex]] = {}
        self._lock = Lock()
        self._keep = os.environ.get(KEEP_IMAGES) != "0"

    def stamp(self, url: Url) -> str | None:
        """The version of the file at `url`; None if unavailable."""
        folder = url.parent
        versions = self._folders.get(folder)
        if versions is None:  # threads may list a folder twice; none waits for another
            try:
                versions = remote.list_folder(folder)
            except PurifyError:
                versions = {}
            self._folders[folder] = versions
        return versions.get(url.name)

    def read(self, url: Url, member: str | None, *, most: int) -> bytes:
        """Return all bytes of a file or of a member of a tar; OSError if they are more than `most`."""
        if member is not None:
            return self._read_member(url, member, most)
        stamp = self.stamp(url)
        kept = self._place(str(url), stamp) if stamp else None
        content = _kept(kept) or self._fetch(url, 0, most + 1, kept)
        refuse_huge(len(content), most)
        return content

    def _read_member(self, url: Url, member: str, most: int) -> bytes:
        version, index = self._archive(url)
        offset, size = index.position(url, member)
        refuse_huge(size, most)
        if not size:
            return b""
        kept = self._place(str(url), version, str(offset))
        content = _kept(kept) or self._fetch(url, offset, size, kept)
        if len(content) < size:
            raise OSError(errno.EIO, "the archive ends before the image does; it changed during the read")
        return content

    def _archive(self, url: Url) -> tuple[str, TarIndex]:
        with self._lock:
            if url not in self._archives:
                self._archives[url] = (remote.version(url), index_tar(url))
            return self._archives[url]

    def _fetch(self, url: Url, offset: int, size: int, kept: Path | None) -> bytes:
        content = remote.read_range(url, offset, size)
        if kept is not None and content:
            try:
                with atomic_path(kept) as temporary:
                    temporary.write_bytes(content)
            except PurifyError as error:
                raise PurifyError(f"{error}; set {KEEP_IMAGES}=0 to cache no images") from error
        return content

    def _place(self, *key: str) -> Path | None:
        if not self._keep:
            return None
        digest = sha256_text(*key)
        return remote.cache_folder() / "images" / digest[:2] / digest[2:]


def refuse_huge(size: int, most: int) -> None:
    """OSError if an image has more than `most` bytes."""
    if size > most:
        raise OSError(errno.EFBIG, f"{size} bytes; images have at most {most}")


def _kept(path: Path | None) -> bytes | None:
    try:
        return path.read_bytes() if path else None
    except OSError:
        return None
