"""Index of an uncompressed tar: where each member's bytes lie, so that any one is a single read."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

import pyarrow as pa

from purify.errors import InputError
from purify.storage import remote
from purify.storage.files import read_table, readable, write_table
from purify.storage.hashes import sha256_text
from purify.storage.locations import Location, Url, as_text, inner_path

_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstandard",
    b"PK\x03\x04": "zip",
}
_KINDS = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a named pipe",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}

#: How the index of a remote tar is kept; names are bytes, since not all are UTF-8.
_KEPT = pa.schema(
    [
        pa.field("name", pa.binary(), nullable=False),
        pa.field("offset", pa.int64()),
        pa.field("size", pa.int64()),
        pa.field("refused", pa.string()),
    ]
)


@dataclass(frozen=True)
class TarIndex:
    """Members of a tar by normalized name, in the order of the archive.

    Attributes
    ----------
    members
        Name -> (offset, size) in bytes of a plain file.
    refused
        Name -> what it is, for links, devices and the like: they are never followed.
    """

    members: Mapping[str, tuple[int, int]]
    refused: Mapping[str, str]


def index_tar(place: Location) -> TarIndex:
    """Read the headers of a tar; an archive that didn't change since is not read again.

    The index of a tar on a store is also kept in the cache: between small images the headers lie so close that to
    read them is to read the whole archive.

    Raises
    ------
    InputError
        If it can't be read, is compressed or damaged, holds a name twice, or a name that leaves the archive.
    """
    if isinstance(place, Url):
        return _remote_index(place, remote.version(place))
    with readable(place):
        stat = place.stat()
        return _index(place, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=8)
def _index(path: Path, _size: int, _mtime_ns: int) -> TarIndex:
    with path.open("rb") as stream:
        return _read_index(path, stream)


@lru_cache(maxsize=8)
def _remote_index(url: Url, version: str) -> TarIndex:
    digest = sha256_text(version)[:16]
    kept = remote.cache_path("tar-indexes", url).with_suffix(f".{digest}.parquet")
    try:
        return _from_table(read_table(kept, _KEPT))
    except InputError:  # not there yet, or damaged
        with remote.reading(url) as stream:
            index = _read_index(url, stream)
        write_table(_to_table(index), kept)
        return index


def _to_table(index: TarIndex) -> pa.Table:
    names = [name.encode("utf-8", "surrogateescape") for name in (*index.members, *index.refused)]
    none = [None] * len(index.refused)
    offsets = [offset for offset, _ in index.members.values()]
    sizes = [size for _, size in index.members.values()]
    kinds = [None] * len(index.members) + list(index.refused.values())
    return pa.table([names, offsets + none, sizes + none, kinds], schema=_KEPT)


def _from_table(table: pa.Table) -> TarIndex:
    members: dict[str, tuple[int, int]] = {}
    refused: dict[str, str] = {}
    for encoded, offset, size, kind in zip(*(column.to_pylist() for column in table.columns), strict=True):
        name = encoded.decode("utf-8", "surrogateescape")
        if kind is None:
            members[name] = (offset, size)
        else:
            refused[name] = kind
    return TarIndex(MappingProxyType(members), MappingProxyType(refused))


def _read_index(place: Location, stream: BinaryIO) -> TarIndex:
    _refuse_compressed(place, stream)
    try:
        with tarfile.open(fileobj=stream, mode="r:") as archive:
            index = _read_members(place, archive)
            _check_end(place, stream, archive.offset)
    except (tarfile.TarError, ValueError, EOFError) as error:
        raise InputError(f"{place}: not a tar archive, or a damaged one: {error}; write it anew") from error
    return index


def _refuse_compressed(path: Location, stream: BinaryIO) -> None:
    start = stream.read(8)
    stream.seek(0)
    for magic, name in _COMPRESSED.items():
        if start.startswith(magic):
            raise InputError(
                f"{path}: compressed ({name}); images are read at random, so unpack it to an uncompressed .tar "
                "(or to a folder) first"
            )


def _read_members(path: Location, archive: tarfile.TarFile) -> TarIndex:
    members: dict[str, tuple[int, int]] = {}
    refused: dict[str, str] = {}
    while (member := archive.next()) is not None:
        # tarfile keeps every header otherwise: gigabytes for millions of members
        archive.members.clear()  # type: ignore[attr-defined]
        if member.isdir():
            continue
        name = _member_name(path, member.name)
        if name in members or name in refused:
            raise InputError(f"{path}: member {as_text(name)} is there twice; write the archive anew")
        if member.isreg() and member.sparse is None:
            members[name] = (member.offset_data, member.size)
        else:
            refused[name] = _KINDS.get(member.type, "a sparse file" if member.isreg() else "no plain file")
    return TarIndex(MappingProxyType(members), MappingProxyType(refused))


def _member_name(path: Location, name: str) -> str:
    try:
        return inner_path(name)
    except InputError as error:
        raise InputError(f"{path}: member {as_text(str(error))}") from error


def _check_end(path: Location, stream: BinaryIO, offset: int) -> None:
    """A damaged header in the middle ends tarfile's listing as the end mark does; here it must not."""
    stream.seek(offset)
    if any(stream.read(tarfile.BLOCKSIZE)):
        raise InputError(f"{path}: damaged tar archive: no member header at byte {offset}; write it anew")
