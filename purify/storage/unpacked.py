"""Compressed tars: unpacked once to the local cache, since images are read from the middle of an archive."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa

from purify.errors import InputError
from purify.storage.files import atomic_path, one_line, read_json, readable, sha256_file, write_json
from purify.storage.hashes import sha256_text
from purify.storage.integrity import file_stamp
from purify.storage.remote import cache_folder

#: Folder of the copies in the cache.
UNPACKED = "unpacked"
_CHUNK = 1 << 22


def _zstd(path: Path) -> BinaryIO:
    return cast(BinaryIO, pa.CompressedInputStream(pa.OSFile(str(path), "rb"), "zstd"))


#: First bytes -> name of the compression, and what opens such a file.
_CODECS: dict[bytes, tuple[str, Callable[[Path], Any]]] = {
    b"\x1f\x8b": ("gzip", gzip.open),
    b"BZh": ("bzip2", bz2.open),
    b"\xfd7zXZ": ("xz", lzma.open),
    b"\x28\xb5\x2f\xfd": ("zstandard", _zstd),
}


def compression(start: bytes) -> str | None:
    """Name of the compression of a file that begins with `start`; None for another file."""
    return next((name for magic, (name, _) in _CODECS.items() if start.startswith(magic)), None)


def unpacked(path: Path) -> Path:
    """`path` itself, or the copy of a compressed file in the cache, unpacked at its first use and keyed by its content.

    InputError if the file can't be read or is damaged; PurifyError if the cache has no room.
    """
    with readable(path):
        return _unpacked(path, file_stamp(path.stat()))


@lru_cache(maxsize=4096)
def _unpacked(path: Path, state: str) -> Path:
    with readable(path), path.open("rb") as stream:
        start = stream.read(8)
    name = compression(start)
    if name is None:
        return path
    folder = cache_folder() / UNPACKED
    stamp = folder / "stamps" / f"{sha256_text(str(path.resolve()), state)[:32]}.json"
    copy = folder / f"{_digest(path, stamp)[:32]}.tar"
    if not copy.exists():
        _unpack(path, start, copy)
    return copy


def _digest(path: Path, stamp: Path) -> str:
    """SHA-256 of a file, taken from the file `stamp` if it was computed before."""
    try:
        return str(read_json(stamp)["sha256"])
    except (InputError, KeyError, TypeError):
        digest = sha256_file(path)
        write_json(stamp, {"sha256": digest})
        return digest


def _unpack(path: Path, start: bytes, copy: Path) -> None:
    name, opener = next(codec for magic, codec in _CODECS.items() if start.startswith(magic))
    with atomic_path(copy) as temporary, readable(path), opener(path) as packed, temporary.open("wb") as plain:
        while True:
            try:
                part = packed.read(_CHUNK)
            except (OSError, EOFError, zlib.error, lzma.LZMAError, pa.ArrowException) as error:
                raise InputError(f"{path}: damaged {name} file: {one_line(error)}; write it anew") from error
            if not part:
                return
            plain.write(part)
