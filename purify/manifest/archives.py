"""Index of an uncompressed tar: where each member's bytes lie, so that any one is a single read."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from purify.errors import InputError
from purify.manifest.io import readable
from purify.manifest.uris import as_text, inner_path

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


def index_tar(path: Path) -> TarIndex:
    """Read the headers of a tar; an archive that didn't change since is not read again.

    Raises
    ------
    InputError
        If it can't be read, is compressed or damaged, holds a name twice, or a name that leaves the archive.
    """
    with readable(path):
        stat = path.stat()
        return _index(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=8)
def _index(path: Path, _size: int, _mtime_ns: int) -> TarIndex:
    with path.open("rb") as stream:
        _refuse_compressed(path, stream)
        try:
            with tarfile.open(fileobj=stream, mode="r:") as archive:
                index = _read_members(path, archive)
                _check_end(path, stream, archive.offset)
        except (tarfile.TarError, ValueError, EOFError) as error:
            raise InputError(f"{path}: not a tar archive, or a damaged one: {error}; write it anew") from error
    return index


def _refuse_compressed(path: Path, stream: BinaryIO) -> None:
    start = stream.read(8)
    stream.seek(0)
    for magic, name in _COMPRESSED.items():
        if start.startswith(magic):
            raise InputError(
                f"{path}: compressed ({name}); images are read at random, so unpack it to an uncompressed .tar "
                "(or to a folder) first"
            )


def _read_members(path: Path, archive: tarfile.TarFile) -> TarIndex:
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


def _member_name(path: Path, name: str) -> str:
    try:
        return inner_path(name)
    except InputError as error:
        raise InputError(f"{path}: member {as_text(str(error))}") from error


def _check_end(path: Path, stream: BinaryIO, offset: int) -> None:
    """A damaged header in the middle ends tarfile's listing as the end mark does; here it must not."""
    stream.seek(offset)
    if any(stream.read(tarfile.BLOCKSIZE)):
        raise InputError(f"{path}: damaged tar archive: no member header at byte {offset}; write it anew")
