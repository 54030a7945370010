"""JPEGs in their most common form, read in full at a fraction of the cost: one baseline scan, headers without Exif.

Most face crops are such files. Whatever is unusual in one is left to the general way, `purify.images.decoding`, which
alone finds defects and their names.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

from PIL import Image

from purify.images.jpeg_scans import ScanDecoder
from purify.images.jpeg_structure import MOST_LEFT, plain_content

_SOI, _FRAMES, _SCAN, _TABLES = b"\xff\xd8\xff", frozenset((0xC0, 0xC1)), 0xDA, 0xDB
#: Codes, the scan, comments, and application data without Exif, color profiles, further images and Photoshop's records.
_OTHERS = frozenset((0xC4, _SCAN, 0xFE, 0xE0, *range(0xE3, 0xED), 0xEE, 0xEF))
#: Least length of the segments that Pillow takes apart: JFIF and Adobe.
_LEAST = {0xE0: 16, 0xEE: 14}
#: Length of a segment with tables of factors -> where each of its tables begins in it.
_FACTORS = {67: (4,), 132: (4, 69)}
_EIGHT_BITS = 8
#: Pixels of larger images are counted before they are decoded (`purify.images.pixel_budget`).
_MOST_PIXELS = 1 << 22
_SCALES = (8, 4, 2, 1)


class _Header(NamedTuple):
    """Size in pixels, and where the entropy-coded data begin."""

    width: int
    height: int
    end: int


def plain_size(data: bytes, max_pixels: int) -> tuple[int, int] | None:
    """Width and height of a whole JPEG in the most common form, all of whose codes were read.

    None, also for more than `max_pixels`, says nothing about a file, but that it is to be examined otherwise.
    """
    header = _read_header(data) if data.startswith(_SOI) else None
    if header is None or not 0 < header.width * header.height <= min(max_pixels, _MOST_PIXELS):
        return None
    content = plain_content(data, header.end)
    if content is None or len(content) <= MOST_LEFT:
        return None
    try:
        return (header.width, header.height) if _is_read_whole(data, header) else None
    except OSError:  # libjpeg refuses it
        return None


def _read_header(data: bytes) -> _Header | None:
    """The headers up to the data of the scan; None if one is not of the common ones, or not as Pillow wants it."""
    place, width, height = 2, 0, 0
    try:
        while True:
            marker, length = data[place + 1], data[place + 2] << 8 | data[place + 3]
            if data[place] != 0xFF or not _is_common(data, place, marker, length) or (width and marker in _FRAMES):
                return None
            if marker == _SCAN:
                return _Header(width, height, place + 2 + length)
            if marker in _FRAMES:
                height, width = data[place + 5] << 8 | data[place + 6], data[place + 7] << 8 | data[place + 8]
            place += 2 + length
    except IndexError:
        return None


def _is_common(data: bytes, place: int, marker: int, length: int) -> bool:
    """Whether Pillow takes the segment at `place`, and takes from it no more than the size."""
    if marker in _FRAMES:
        channels = data[place + 9]
        return data[place + 4] == _EIGHT_BITS and channels in (1, 3) and length == 8 + 3 * channels
    if marker == _TABLES:
        return length in _FACTORS and all(data[place + start] < 16 for start in _FACTORS[length])
    return marker in _OTHERS and length >= _LEAST.get(marker, 2)


def _is_read_whole(data: bytes, header: _Header) -> bool:
    """Decode a JPEG to gray at an eighth of its size, for which all codes are read; whether none is missing or left."""
    scale = next((scale for scale in _SCALES if min(header.width, header.height) >= scale), 1)
    size = -(-header.width // scale), -(-header.height // scale)
    decoder = cast(Any, Image._getdecoder("L", "jpeg", ("L", ""), (scale, 0)))
    decoder.setimage(cast(Any, Image).core.new("L", size), (0, 0, *size))
    with ScanDecoder(decoder) as scan:
        tail = len(data) - 2 - MOST_LEFT
        scan.feed(data[:tail])
        runs_on, rest = scan.takes_single_bytes(data[tail:-2])
        return not runs_on and scan.is_done_by(rest) and scan.ends()
