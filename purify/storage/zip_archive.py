"""Zip archives: an index of the members, and reads of single ones by position, from any number of threads."""

from __future__ import annotations

import errno
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from purify.errors import InputError
from purify.storage.files import one_line, readable
from purify.storage.image_cache import refuse_huge
from purify.storage.integrity import file_stamp
from purify.storage.locations import as_text, inner_path
from purify.storage.positioned import MAX_BYTES, READ_FLAGS, read_at

_LOCAL_HEADER = 30
_LENGTHS = struct.Struct("<HH")
_ENCRYPTED, _IS_UTF8 = 0x1, 0x800
_DOS = 0
#: The record that ends an archive: its mark, its size without and with the longest comment.
_END, _END_SIZE = b"PK\x05\x06", 22
#: Where that record counts the members, in two bytes.
_COUNT = slice(10, 12)
_MOST_SHORT = 0xFFFF
_LONGEST_END = _END_SIZE + _MOST_SHORT


@dataclass(frozen=True)
class ZipMember:
    """A member: where its header is, its sizes in bytes, its checksum, and whether it is deflated or stored."""

    header: int
    packed: int
    size: int
    crc: int
    deflated: bool


@dataclass(frozen=True)
class ZipIndex:
    """Members of a zip by normalized name, in the order of the archive."""

    members: Mapping[str, ZipMember]
    #: Name -> why it can't be read: a link, encrypted, another compression.
    refused: Mapping[str, str]


def is_zip(path: Path) -> bool:
    """Whether a file is a zip, by its suffix or its first bytes (an empty one has its end there)."""
    if path.suffix.lower() == ".zip":
        return True
    with readable(path), path.open("rb") as stream:
        return stream.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def index_zip(path: Path) -> ZipIndex:
    """Read the directory of a zip; an unchanged archive is not read again.

    InputError if it is unreadable or damaged, or has duplicate names or names that leave it.
    """
    with readable(path):
        return _index(path, file_stamp(path.stat()))


@lru_cache(maxsize=8)
def _index(path: Path, _state: str) -> ZipIndex:
    members: dict[str, ZipMember] = {}
    refused: dict[str, str] = {}
    faults = []
    for info in _infos(path):
        if info.filename.endswith("/"):  # not is_dir(), which fails for an empty name
            continue
        try:
            name = inner_path(_name(info))
        except InputError as error:
            faults.append(str(error))
            continue
        if name in members or name in refused:
            faults.append(f"{name} occurs twice")
        elif problem := _problem(info):
            refused[name] = problem
        else:
            deflated = info.compress_type == zipfile.ZIP_DEFLATED
            members[name] = ZipMember(info.header_offset, info.compress_size, info.file_size, info.CRC, deflated)
    if faults:
        shown = "; member ".join(map(as_text, faults[:3]))
        raise InputError(f"{path}: member {shown}; {len(faults)} such members; write the archive anew")
    return ZipIndex(MappingProxyType(members), MappingProxyType(refused))


def _infos(path: Path) -> list[zipfile.ZipInfo]:
    try:
        with readable(path), zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _refuse_short(path, len(members))
            _refuse_joined(path, min((member.header_offset for member in members), default=0))
            return members
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise InputError(f"{path}: not a zip archive, or a damaged one: {one_line(error)}; write it anew") from error


def _refuse_short(path: Path, found: int) -> None:
    """InputError if the directory has another number of members than the end of the archive says."""
    with path.open("rb") as stream:
        stream.seek(max(0, stream.seek(0, 2) - _LONGEST_END))
        last = stream.read()
    end = last.rfind(_END)
    said = int.from_bytes(last[end:][_COUNT], "little")
    if end >= 0 and said not in (found & _MOST_SHORT, _MOST_SHORT):
        raise InputError(f"{path}: its directory has {found} members, its end says {said}; the archive is damaged")


def _refuse_joined(path: Path, start: int) -> None:
    """InputError if another archive ends right before the first member at `start`: the directory knows none of it."""
    if start < len(_END):
        return
    with path.open("rb") as stream:
        stream.seek(max(0, start - _LONGEST_END))
        before = stream.read(min(start, _LONGEST_END))
    end = before.rfind(_END)
    if end >= 0 and end + _END_SIZE <= len(before):
        comment = int.from_bytes(before[end + _END_SIZE - 2 : end + _END_SIZE], "little")
        if end + _END_SIZE + comment == len(before):
            raise InputError(f"{path}: several archives joined, of which only the last could be read; give each alone")


def _name(info: zipfile.ZipInfo) -> str:
    """Name of a member: many programs write UTF-8 without saying so, and some of Windows write backslashes."""
    name = info.filename
    if not info.flag_bits & _IS_UTF8 and not name.isascii():
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/") if info.create_system == _DOS else name


def _problem(info: zipfile.ZipInfo) -> str | None:
    if info.flag_bits & _ENCRYPTED:
        return "encrypted; write the archive anew without a password"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "a symbolic link; only files are read"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        method = zipfile.compressor_names.get(info.compress_type, f"method {info.compress_type}")  # type: ignore[attr-defined]
        return f"compressed by {method}; write the archive anew, stored or deflated"
    return None


class ZipContainer:
    """A zip; its keys are the normalized names of its members."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._index = index_zip(path)
        with readable(path):
            self._descriptor = os.open(path, READ_FLAGS)

    def read(self, key: str) -> bytes:
        """See `Container`."""
        member = self._index.members.get(key)
        if member is None:
            raise InputError(f"{self._path}: holds no readable file {as_text(key)}")
        refuse_huge(member.size, MAX_BYTES)
        header = read_at(self._descriptor, member.header, _LOCAL_HEADER)
        if not header.startswith(b"PK\x03\x04"):
            raise OSError(errno.EIO, "the zip has no header where its directory says")
        name_length, extra_length = _LENGTHS.unpack_from(header, 26)
        start = member.header + _LOCAL_HEADER + name_length + extra_length
        content = read_at(self._descriptor, start, member.packed)
        if member.deflated:
            content = _inflate(content, member.size)
        if len(content) != member.size or zlib.crc32(content) != member.crc:
            raise OSError(errno.EIO, "damaged in the zip: its size or checksum is wrong")
        return content

    def close(self) -> None:
        """See `Container`."""
        os.close(self._descriptor)


def _inflate(packed: bytes, size: int) -> bytes:
    """Unpack no more than the directory promises: a bomb promises less than it holds."""
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, size + 1)
    except zlib.error as error:
        raise OSError(errno.EIO, f"damaged in the zip: {error}") from error
