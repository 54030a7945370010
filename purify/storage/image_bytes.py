"""Image bytes by uri: files, and images in containers, local or on a store, from any number of threads."""

from __future__ import annotations

import errno
import os
import resource
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock

from purify.errors import InputError
from purify.storage.containers import SPANS, BulkContainer, Container, TarContainer, open_container
from purify.storage.image_cache import RemoteImageReader
from purify.storage.integrity import file_stamp
from purify.storage.locations import Url, container_uri, keys_in_one, split_uri
from purify.storage.positioned import MAX_BYTES, READ_FLAGS, read_at

#: Files that the rest of the process may have open.
_SPARE_FILES = 256
#: Kinds of containers that are opened at little cost, or have an index that needs not be read again.
_READ_AT_ONCE = frozenset({"tar", "rec", "parquet", "arrow", "tsv", SPANS})


class ImageByteReader:
    """Reads the bytes behind uris; thread safe.

    A container is opened at its first use and stays open until `close`; its images are read by position, so threads
    share it without waiting for each other. An image on a store takes one request.
    """

    def __init__(self) -> None:
        self._containers: dict[tuple[str, Path], Container] = {}
        self._stamps: dict[Path, str | None] = {}
        self._remote = RemoteImageReader()
        self._lock = Lock()

    def __enter__(self) -> ImageByteReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the containers; a later `read` opens them again."""
        with self._lock:
            for container in self._containers.values():
                container.close()
            self._containers.clear()
            self._stamps.clear()
            self._remote = RemoteImageReader()

    def release(self, uri: str) -> None:
        """Close the container of `uri`, from which nobody is reading now; a later `read` opens it again."""
        place, kind, _ = split_uri(uri)
        with self._lock:
            container = self._containers.pop((kind, place), None) if kind and isinstance(place, Path) else None
        if container is not None:
            container.close()

    def read(self, uri: str) -> bytes:
        """Return all bytes behind `uri`.

        OSError means a defect of the image: missing, unreadable, not a plain file, or larger than `MAX_BYTES`. Other
        errors concern its source: InputError if `uri` has no known form, its container is damaged or lacks the image,
        or a store denies access; PurifyError if a store doesn't answer.
        """
        place, kind, key = split_uri(uri)
        if isinstance(place, Url):
            if kind not in (None, "tar"):
                raise InputError(f"{place}: images in a {kind} file on a store can't be read; copy the file here first")
            return self._remote.read(place, key, most=MAX_BYTES)
        if kind is None or key is None:
            return _read_file(place)
        return self._container(kind, place).read(key)

    def read_many(self, uris: Sequence[str]) -> Iterator[bytes | OSError]:
        """Yield the bytes behind uris, as `read`; an OSError takes the place of a defective image.

        Images that follow each other in a container cost less than one by one.
        """
        found = keys_in_one(uris) if uris else None
        if found is not None and isinstance(found[0].place, Path) and found[0].kind is not None:
            container = self._container(found[0].kind, found[0].place)
            if isinstance(container, BulkContainer):
                yield from container.read_many(found[1])
                return
        yield from map(self._read_or_error, uris)

    def _read_or_error(self, uri: str) -> bytes | OSError:
        try:
            return self.read(uri)
        except OSError as error:
            return error

    def for_another_process(self, uris: Sequence[str]) -> list[str] | None:
        """Uris of the same images that another process reads at once, without the index of an archive; None without."""
        found = keys_in_one(uris) if uris else None
        if found is None:
            return list(uris) if all(uri.startswith("file://") for uri in uris) else None
        place, keys = found
        if not isinstance(place.place, Path) or place.kind not in _READ_AT_ONCE:
            return None
        container = self._container(place.kind, place.place) if place.kind == "tar" else None
        if not isinstance(container, TarContainer):
            return list(uris)
        file, spans = container.spans(keys)
        return [container_uri(SPANS, span, file) for span in spans]

    def stamps(self, uris: Sequence[str]) -> list[str | None]:
        """See `stamp`."""
        found = keys_in_one(uris) if uris else None
        return [self.stamp(uris[0])] * len(uris) if found else list(map(self.stamp, uris))

    def stamp(self, uri: str) -> str | None:
        """Size, times and inode of the file behind `uri`, or its version on a store; None if unavailable.

        An unchanged stamp means unchanged bytes. An image in a container has the stamp of the container.
        """
        place, kind, _ = split_uri(uri)
        if isinstance(place, Url):
            return self._remote.stamp(place)
        if kind is None:
            return _stamp(place)
        if place not in self._stamps:  # an older stamp than necessary is safe: it means one more read
            self._stamps[place] = _stamp(place)
        return self._stamps[place]

    def _container(self, kind: str, path: Path) -> Container:
        if (known := self._containers.get((kind, path))) is not None:
            return known
        with self._lock:
            if (kind, path) not in self._containers:
                _allow_open_files(len(self._containers) + _SPARE_FILES)
                self._containers[kind, path] = open_container(kind, path)
            return self._containers[kind, path]


def _allow_open_files(count: int) -> None:
    """Raise the process's own limit on open files, often 1024, where thousands of containers need more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and count > soft:
        wanted = 2 * count if hard == resource.RLIM_INFINITY else min(2 * count, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def _stamp(path: Path) -> str | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return file_stamp(status)


def _read_file(path: Path) -> bytes:
    descriptor = os.open(path, READ_FLAGS)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a plain file")
        return read_at(descriptor, 0, status.st_size)
    finally:
        os.close(descriptor)
