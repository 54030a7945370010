"""Containers: files and folders that hold many images by key, read at random from any number of threads.

A uri ``KIND://KEY::file:///PATH`` names the image with a key in a container. An installed package adds a kind by the
entry point group ``purify.containers``: the name is the kind, the value a function that opens a container.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol, runtime_checkable

from purify.errors import InputError
from purify.storage.arrow_container import ArrowImages
from purify.storage.files import readable
from purify.storage.lmdb_container import LmdbImages
from purify.storage.parquet_container import ParquetImages
from purify.storage.positioned import READ_FLAGS, read_at, read_spans
from purify.storage.rec_container import RecImages
from purify.storage.tar_index import index_tar
from purify.storage.tsv_container import SpanImages, TsvImages, text_key
from purify.storage.unpacked import unpacked
from purify.storage.zip_archive import ZipContainer

#: Entry-point group for kinds of containers of installed packages.
CONTAINER_ENTRY_POINTS = "purify.containers"


class Container(Protocol):
    """An open container; thread safe, so reads go by position (``os.pread``, a memory map)."""

    def read(self, key: str) -> bytes:
        """All bytes of the image with a key.

        OSError means a defect of this image: unreadable, cut short, or larger than `MAX_BYTES`. InputError means that
        the container is damaged, or has no such key.
        """

    def close(self) -> None:
        """Release the files; no thread reads any more."""


@runtime_checkable
class BulkContainer(Container, Protocol):
    """A container that reads many images at less cost than one by one; an installed package needs no such kind."""

    def read_many(self, keys: Sequence[str]) -> Iterator[bytes | OSError]:
        """Yield the images with these keys, as `read`; an OSError takes the place of one that is defective."""


Opener = Callable[[Path], Container]


class TarContainer:
    """A tar, if compressed its unpacked copy; its keys are the normalized names of its members."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._index = index_tar(path)
        with readable(path):
            self._descriptor = os.open(unpacked(path), READ_FLAGS)

    def read(self, key: str) -> bytes:
        """See `Container`."""
        offset, size = self._index.position(self._path, key)
        return read_at(self._descriptor, offset, size)

    def read_many(self, keys: Sequence[str]) -> Iterator[bytes | OSError]:
        """See `BulkContainer`."""
        yield from read_spans(self._descriptor, *self._index.positions(self._path, keys))

    def spans(self, keys: Sequence[str]) -> tuple[Path, list[str]]:
        """The same images in a container of the kind `SPANS`, which needs no index: its file, and their keys there."""
        return unpacked(self._path), list(map(text_key, *self._index.positions(self._path, keys)))

    def close(self) -> None:
        """See `Container`."""
        os.close(self._descriptor)


#: Kind of a file whose images are known by their positions.
SPANS = "bytes"
#: Kind of container, as in a uri -> function that opens one.
CONTAINERS: Mapping[str, Opener] = {
    "tar": TarContainer,
    "rec": RecImages,
    "parquet": ParquetImages,
    "arrow": ArrowImages,
    "lmdb": LmdbImages,
    "tsv": TsvImages,
    SPANS: SpanImages,
    "zip": ZipContainer,
}


def open_container(kind: str, path: Path) -> Container:
    """Open the container of a `kind` at `path`.

    InputError if no installed package knows the kind, or the container is unreadable or damaged.
    """
    opener = CONTAINERS.get(kind) or _installed().get(kind)
    if opener is None:
        raise InputError(
            f"{kind}://...::{path}: no installed package reads such containers; known are {', '.join(CONTAINERS)}"
        )
    return opener(path)


@cache
def _installed() -> Mapping[str, Opener]:
    found = {}
    for entry in entry_points(group=CONTAINER_ENTRY_POINTS):
        try:
            found[entry.name] = entry.load()
        except Exception as error:
            raise InputError(
                f"container {entry.name}: can't load {entry.value}: {type(error).__name__}: {error}"
            ) from error
    return found
