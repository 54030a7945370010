"""LMDB databases of images as containers: the value of a key is an image, or an image with its label.

Values with a label are MessagePack, or a pickle of plain numbers, texts and bytes; the loader refuses everything else
in a pickle, so that nothing is run. Databases are opened read-only and without a lock, once in a process.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from purify.errors import InputError
from purify.storage.files import readable
from purify.storage.message_pack import unpack_pair
from purify.storage.plain_pickles import load_plain

if TYPE_CHECKING:
    import lmdb

_PAIR, _PICKLE = b"\x92", b"\x80"
_OPEN: dict[Path, tuple[lmdb.Environment, int]] = {}
_LOCK = Lock()


def database_file(path: Path) -> Path:
    """The file of a database: itself, or ``data.mdb`` in a folder."""
    return path / "data.mdb" if path.is_dir() else path


class LmdbImages:
    """The file of an LMDB database; see `purify.storage.containers.Container`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._environment = _acquire(path)

    def read(self, key: str) -> bytes:
        """The image of a key."""
        with _reading(self._path), self._environment.begin() as transaction:
            value = transaction.get(key.encode("utf-8", "surrogateescape"))
        if value is None:
            raise InputError(f"{self._path}: no key {key!r}; the database has changed, so ingest the source again")
        try:
            return split_value(value)[0]
        except ValueError as error:
            raise OSError(errno.EIO, str(error)) from error

    def items(self) -> Iterator[tuple[bytes, memoryview]]:
        """Yield all keys and values in the order of the keys; a value is valid until the next one."""
        with _reading(self._path), self._environment.begin(buffers=True) as transaction:
            for key, value in transaction.cursor():
                yield bytes(key), memoryview(value)

    def close(self) -> None:
        """Close the database, unless it is open elsewhere in this process."""
        _release(self._path)


def split_value(value: bytes | memoryview) -> tuple[bytes, str | None]:
    """Image and label of a value; None if it is an image alone. ValueError if it has another form."""
    start = bytes(value[:1])
    if start not in (_PAIR, _PICKLE):
        return bytes(value), None
    image, label = unpack_pair(value) if start == _PAIR else _unpickle_pair(bytes(value))
    if isinstance(label, bytes):  # a text of Python 2
        label = label.decode("utf-8", "replace")
    if not isinstance(image, bytes) or not isinstance(label, int | str):
        raise ValueError(f"holds {type(image).__name__} and {type(label).__name__}, expected an image and a label")
    return image, str(label)


def label_of(value: memoryview) -> str | None:
    """The label in a value, as `split_value`, without a copy of an image that stands alone."""
    return split_value(value)[1] if bytes(value[:1]) in (_PAIR, _PICKLE) else None


def _unpickle_pair(value: bytes) -> tuple[Any, Any]:
    content = load_plain(value)
    if not isinstance(content, tuple | list) or len(content) != 2:
        raise ValueError("a pickle of something else than an image and a label")
    return content[0], content[1]


def _acquire(path: Path) -> lmdb.Environment:
    """The environment of a database file, which a process may open only once."""
    path = path.resolve()
    with _LOCK:
        environment, users = _OPEN.get(path, (None, 0))
        environment = environment or _open(path)
        _OPEN[path] = environment, users + 1
        return environment


def _release(path: Path) -> None:
    path = path.resolve()
    with _LOCK:
        environment, users = _OPEN.pop(path)
        if users > 1:
            _OPEN[path] = environment, users - 1
        else:
            environment.close()


def _open(path: Path) -> lmdb.Environment:
    try:
        import lmdb
    except ImportError as error:
        raise InputError(f"{path}: LMDB needs a further package; pip install 'purify[lmdb]'") from error
    with readable(path):
        size = path.stat().st_size
    if not size:
        raise InputError(f"{path}: empty file (0 bytes); get it anew")
    with _reading(path):
        environment = lmdb.open(os.fspath(path), subdir=False, readonly=True, lock=False, readahead=False)
        whole = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    if size < whole:  # reading a page beyond the end of the file would end the process
        environment.close()
        raise InputError(f"{path}: cut off ({size} of {whole} bytes); get it anew")
    return environment


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    import lmdb

    try:
        yield
    except lmdb.Error as error:
        raise InputError(f"{path}: not an LMDB database, or a damaged one: {error}") from error
