"""The structure of a JPEG: its headers, and the entropy-coded data of its scans, cut at restarts.

Source: ITU-T T.81, annex B.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

_RESTART = re.compile(rb"\xff+[\xd0-\xd7]")
_MARKER = re.compile(rb"\xff[^\0]")
#: Sequential and progressive Huffman coding.
_FRAMES = frozenset((0xC0, 0xC1, 0xC2))
_OTHER_FRAMES = frozenset((0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF))
_PROGRESSIVE, _HUFFMAN, _EOI, _SOS, _DRI = 0xC2, 0xC4, 0xD9, 0xDA, 0xDD
_ALONE = frozenset((0x01, *range(0xD0, 0xD9)))
#: Segments that say nothing on the structure: tables of codes and factors, application data, comments.
_SILENT = frozenset((_HUFFMAN, 0xDB, *range(0xE0, 0xF0), 0xFE))
_SEQUENTIAL = frozenset((0xC0, 0xC1))
#: Zeros that can't be coefficients, unless they are the code of empty blocks.
LOST = bytes(64)
#: Bytes that some programs leave behind the last block.
MOST_LEFT = 64
#: Intervals of a scan that are told apart.
_MOST_INTERVALS = 256


class OtherJpegError(ValueError):
    """A JPEG of another coding, or without the structure of one."""


class Piece(NamedTuple):
    """Headers or a restart marker, and the entropy-coded data behind them, up to the next marker."""

    header: bytes
    data: bytes
    #: Whether it holds blocks of coefficients, and not single bits that refine those of earlier scans.
    has_blocks: bool
    #: Whether zeros alone are the code of an empty block, so that plain areas are runs of zeros.
    plain_is_zero: bool
    #: Whether restart markers are missing before it, or in disorder.
    lost_restart: bool = False


class Structure(NamedTuple):
    """The pieces of a JPEG, and whether it has an end mark."""

    pieces: tuple[Piece, ...]
    is_ended: bool


@dataclass
class _Frame:
    """What the headers so far have said."""

    progressive: bool = False
    size: tuple[int, int] = (0, 0)
    #: Component -> sampling factors, horizontal and vertical.
    sampling: dict[int, tuple[int, int]] = field(default_factory=dict)
    interval: int = 0
    #: Whether the all-zero code of each table of AC coefficients means the end of a block.
    ends_by_zero: dict[int, bool] = field(default_factory=dict)

    def intervals(self, components: bytes) -> int:
        """Number of restart intervals of a scan."""
        if not self.interval or not all(component in self.sampling for component in components):
            return 1
        width, height = self.size
        across, down = (max(factors) for factors in zip(*self.sampling.values(), strict=True))
        if len(components) == 1:
            own = self.sampling[components[0]]
            width, height = -(-width * own[0] // across), -(-height * own[1] // down)
            across = down = 1
        units = -(-width // (8 * across)) * -(-height // (8 * down))
        return -(-units // self.interval)


def read_structure(data: bytes) -> Structure:
    """The pieces of a JPEG up to its end mark; those of a file that is cut off end with the file.

    OtherJpegError if its coding is neither baseline nor progressive Huffman coding, or it has no scan.
    """
    return _read_plain(data) or _read_any(data)


def _read_plain(data: bytes) -> Structure | None:
    """The structure of a whole file in the most common form, at a fraction of the cost; None for any other.

    It has one sequential scan without restarts, which ends with the file, and no run of zeros in its data.
    """
    place, marker, frames = 2, 0, 0
    try:
        while marker != _SOS:
            marker = data[place + 1]
            if data[place] != 0xFF or not (marker in _SILENT or marker in _SEQUENTIAL or marker == _SOS):
                return None
            frames += marker in _SEQUENTIAL
            place += 2 + (data[place + 2] << 8 | data[place + 3])
    except IndexError:
        return None
    content = plain_content(data, place) if frames == 1 else None
    if content is None:
        return None
    return Structure((Piece(data[:place], content, has_blocks=True, plain_is_zero=True),), is_ended=True)


def plain_content(data: bytes, start: int) -> bytes | None:
    """The data of a scan from `start` up to the end mark, which ends the file.

    None if the file ends otherwise, or the data hold a marker or a run of zeros.
    """
    content = data[start:-2]
    if data[-2:] != b"\xff\xd9" or content[-1:] == b"\xff" or _MARKER.search(content) or LOST in content:
        return None
    return content


def _read_any(data: bytes) -> Structure:
    frame, pieces, start, place = _Frame(), list[Piece](), 0, 2
    while True:
        while data[place : place + 2] == b"\xff\xff":
            place += 1
        marker = data[place + 1] if data[place : place + 1] == b"\xff" and place + 1 < len(data) else None
        if marker is None or marker == _EOI:
            break
        if marker in _ALONE:
            place += 2
            continue
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        _take_in(frame, marker, data[place + 4 : end])
        if marker == _SOS:
            stop = _end_of_scan(data, end)
            pieces += _scan(frame, data[start:end], data[place + 4 : end], data[end:stop])
            start = end = stop
        place = end
    if not pieces or not frame.sampling:
        raise OtherJpegError("no scan of a known coding")
    return Structure(tuple(pieces), marker == _EOI)


def _end_of_scan(data: bytes, place: int) -> int:
    """Position of the marker that ends the data of a scan: neither a stuffed 0xFF nor a restart."""
    while (place := data.find(b"\xff", place)) >= 0:  # an expression would take ten times as long
        behind = place + 1
        while data[behind : behind + 1] == b"\xff":
            behind += 1
        if behind == len(data) or (data[behind] and not 0xD0 <= data[behind] <= 0xD7):
            return place
        place = behind + 1
    return len(data)


def _take_in(frame: _Frame, marker: int, content: bytes) -> None:
    if marker in _OTHER_FRAMES or len(content) < 2:
        raise OtherJpegError(f"a marker 0x{marker:02x}")
    if marker in _FRAMES:
        frame.progressive = marker == _PROGRESSIVE
        frame.size = int.from_bytes(content[3:5], "big"), int.from_bytes(content[1:3], "big")
        for place in range(6, len(content) - 2, 3):
            frame.sampling[content[place]] = max(content[place + 1] >> 4, 1), max(content[place + 1] & 15, 1)
    elif marker == _DRI:
        frame.interval = int.from_bytes(content[:2], "big")
    elif marker == _HUFFMAN:
        place = 0
        while place + 17 < len(content):
            if content[place] >> 4:
                frame.ends_by_zero[content[place] & 15] = content[place + 17] == 0
            place += 17 + sum(content[place + 1 : place + 17])


def _scan(frame: _Frame, header: bytes, parameters: bytes, data: bytes) -> Iterator[Piece]:
    """Yield the pieces of a scan: one for each of its intervals, unless there are very many."""
    count = parameters[0]
    if len(parameters) < 2 * count + 4:
        raise OtherJpegError("a scan without parameters")
    has_blocks = not (frame.progressive and parameters[-3] == 0 and parameters[-1] >> 4)
    plain = frame.progressive or any(frame.ends_by_zero.values())
    restarts = list(_RESTART.finditer(data)) if frame.interval else []
    numbers = [found[0][-1] & 7 for found in restarts]
    missing = len(restarts) + 1 < frame.intervals(parameters[1 : 2 * count + 1 : 2])
    lost = missing or numbers != [number & 7 for number in range(len(numbers))]
    if lost or len(restarts) >= _MOST_INTERVALS:
        yield Piece(header, data, has_blocks, plain, lost)
        return
    starts = [0, *(found.end() for found in restarts)]
    ends = [*(found.start() for found in restarts), len(data)]
    marks = [header, *(found[0] for found in restarts)]
    for mark, start, end in zip(marks, starts, ends, strict=True):
        yield Piece(mark, data[start:end], has_blocks, plain)
