"""Headers of a tar: ustar, pax and GNU forms, read one after another, also past the end mark of a joined archive.

Python's ``tarfile`` needs ten times as long, ends at the first end mark (``cat a.tar b.tar`` has two), takes a cut at a
member's boundary for the end, and recurses for each extended header.

Source: POSIX.1-2017, ``pax`` interchange format; GNU tar manual, section "Basic Tar Format".
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

BLOCK = 512
_ZEROS = bytes(BLOCK)
_CHUNK = 1 << 20
#: Bytes per read of headers: those of a few small images, and not much of a large one.
_READ = 1 << 16
#: An extended header holds a path and some times, not the content of a file.
_MOST_EXTENDED = 1 << 20
_PLAIN = frozenset(b"0\x007")
_EXTENDED = frozenset(b"xXgLK")
#: Kinds without content after their header, whatever their size field says.
_EMPTY = frozenset(b"123456")
_SPARSE = b"S"
_KINDS = {
    ord("1"): "a hard link",
    ord("2"): "a symbolic link",
    ord("3"): "a device",
    ord("4"): "a device",
    ord("6"): "a named pipe",
    ord("S"): "a sparse file",
}


class DamagedTarError(ValueError):
    """An archive that can't be read to its end."""


class Member(NamedTuple):
    """A member of a tar: its name as given, and where its content is."""

    name: str
    offset: int
    size: int
    #: What it is, if it is not a plain file.
    kind: str | None
    is_folder: bool = False


@dataclass
class TarScan:
    """The members of an open tar; `notes` tells what is wrong with it, once all members have been read.

    DamagedTarError, while iterating, if the archive can't be read to its end.
    """

    stream: BinaryIO
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._length = self.stream.seek(0, 2)
        #: Values of extended headers for all further members, and for the next one.
        self._always: dict[str, bytes] = {}
        self._next: dict[str, bytes] = {}
        #: Part of the file that was read last, and its offset.
        self._chunk, self._start = b"", 0

    def __iter__(self) -> Iterator[Member]:
        offset = 0
        while offset < self._length:
            block = self._block(offset)
            if block == _ZEROS:
                offset = self._after_end_mark(offset)
                continue
            if not _is_header(block):
                raise DamagedTarError(_no_header(offset) if offset else "it begins with no member header")
            content, size = offset + BLOCK, _number(block[124:136])
            if block[156] in _EXTENDED:
                self._extend(block[156:157], content, size)
                offset = content + _padded(size)
                continue
            member, offset = self._member(block, content, size)
            yield member
            if offset >= self._length:
                self.notes.append("has no end mark, so it may have been cut off behind a member")
        if not self._length:
            raise DamagedTarError("it is empty")
        if self._next:
            raise DamagedTarError("it ends behind an extended header, before its member")

    def _member(self, block: bytes, content: int, size: int) -> tuple[Member, int]:
        """The member of a header, and the offset of the next header."""
        kind = block[156]
        if kind in _PLAIN and not self._always and not self._next and content + size <= self._length:  # nearly all
            name = _plain_name(block)
            return Member(_text(name), content, size, None, name.endswith(b"/")), content + _padded(size)
        values, self._next = {**self._always, **self._next}, {}
        size = _decimal(values["size"]) if "size" in values else size
        name = values.get("GNU.sparse.name") or values.get("path") or _plain_name(block)
        sparse = kind == ord(_SPARSE) or any(key.startswith("GNU.sparse.") for key in values)
        is_folder = kind == ord("5") or kind == ord("D") or (kind in _PLAIN and name.endswith(b"/"))
        if kind == ord(_SPARSE):
            content = self._after_sparse_map(block, content)
        end = content if kind in _EMPTY else content + _padded(size)
        if content + (0 if kind in _EMPTY else size) > self._length:
            raise DamagedTarError(f"it is cut off in {_text(name)}")
        what = "a sparse file" if sparse else None if kind in _PLAIN else _KINDS.get(kind, "no plain file")
        return Member(_text(name), content, size, what, is_folder), end

    def _extend(self, kind: bytes, content: int, size: int) -> None:
        """Take in the values of an extended header."""
        if size > _MOST_EXTENDED:
            raise DamagedTarError(f"an extended header of {size} bytes at byte {content - BLOCK}")
        body = self._read(content, size)
        if kind == b"L":
            self._next["path"] = body.rstrip(b"\0")
        elif kind == b"g":
            self._always |= _records(body, content)
        elif kind != b"K":
            self._next |= _records(body, content)

    def _after_sparse_map(self, block: bytes, content: int) -> int:
        """Offset behind the blocks that go on with the map of a sparse file of the old GNU form."""
        goes_on = block[482]
        while goes_on:
            goes_on = self._read(content, BLOCK)[504]
            content += BLOCK
        return content

    def _after_end_mark(self, offset: int) -> int:
        """Offset of what follows the zeros at `offset`: a joined archive, or the end of the file."""
        start = offset
        while offset < self._length:
            self.stream.seek(offset)
            chunk = self.stream.read(_CHUNK)
            rest = chunk.lstrip(b"\0")
            if not chunk or not rest:
                offset += len(chunk) or self._length
                continue
            offset = (offset + len(chunk) - len(rest)) // BLOCK * BLOCK
            if offset + BLOCK <= self._length and _is_header(self._read(offset, BLOCK)):
                return offset
            if offset - start <= BLOCK:  # a single block of zeros is a header that was lost
                raise DamagedTarError(_no_header(start))
            self.notes.append(f"has {self._length - offset} bytes behind its end mark that are no archive")
            break
        return self._length

    def _block(self, offset: int) -> bytes:
        """A block, from the chunk read last if it is there: small members lie close together."""
        place = offset - self._start
        if not 0 <= place <= len(self._chunk) - BLOCK:
            self._start, place = offset, 0
            self._chunk = self._read(offset, min(_READ, max(BLOCK, self._length - offset)))
        return self._chunk[place : place + BLOCK]

    def _read(self, offset: int, size: int) -> bytes:
        self.stream.seek(offset)
        parts = [self.stream.read(size)]
        while parts[-1] and sum(map(len, parts)) < size:  # an unbuffered file may give less
            parts.append(self.stream.read(size - sum(map(len, parts))))
        data = b"".join(parts)
        if len(data) < size:
            raise DamagedTarError(f"it is cut off at byte {offset + len(data)}")
        return data


def _is_header(block: bytes) -> bool:
    """Whether the checksum of a block is that of a header; old programs sum signed bytes."""
    try:
        wanted = _number(block[148:156])
    except DamagedTarError:
        return False
    plain = _sum(block[:256]) + _sum(block[256:]) - sum(block[148:156]) + 8 * ord(" ")
    return plain == wanted or plain - 256 * sum(byte > 127 for byte in block[:148] + block[156:]) == wanted


def _sum(half: bytes) -> int:
    """Sum of 256 bytes: the low word of Adler-32, less one, at a tenth of the cost of ``sum``."""
    return (zlib.adler32(half) & 0xFFFF) - 1


def _number(text: bytes) -> int:
    """A number in octal digits, or in GNU's binary form."""
    if text[0] & 0x80:
        return int.from_bytes(bytes([text[0] & 0x7F]) + text[1:], "big")
    try:
        return int(text.partition(b"\0")[0].strip() or b"0", 8)
    except ValueError:
        raise DamagedTarError("a number of a header makes no sense") from None


def _decimal(text: bytes) -> int:
    if not text.isdigit():
        raise DamagedTarError("the size in an extended header is no number")
    return int(text)


def _plain_name(block: bytes) -> bytes:
    name = block[:100].partition(b"\0")[0]
    prefix = block[345:500].partition(b"\0")[0] if block[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _records(body: bytes, content: int) -> dict[str, bytes]:
    """Records ``LENGTH KEY=VALUE``, a line each, of an extended header of the pax form."""
    values = {}
    start = 0
    while start < len(body) and body[start]:
        digits, space, _ = body[start : start + 20].partition(b" ")
        end = start + int(digits) if space and digits.isdigit() else 0
        key, equals, value = body[start + len(digits) + 1 : end - 1].partition(b"=")
        if not equals or end > len(body) or body[end - 1 : end] != b"\n":
            raise DamagedTarError(f"the extended header at byte {content - BLOCK} makes no sense")
        values[key.decode("utf-8", "replace")] = value
        start = end
    return values


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _no_header(offset: int) -> str:
    return f"no member header at byte {offset}"
