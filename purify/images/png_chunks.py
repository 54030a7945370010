"""Checksums of a PNG's pixels, which Pillow leaves unread.

Source: PNG specification, third edition, section 5.3.
"""

from __future__ import annotations

import zlib

from purify.images.defects import Defect, UnreadableImageError

_SIGNATURE, _HEAD, _CHECKSUM = 8, 8, 4
_PIXELS, _END = b"IDAT", b"IEND"


def require_whole_png(data: bytes) -> None:
    """Refuse a PNG with a wrong checksum of its pixels by an UnreadableImageError, as libpng does."""
    place = _SIGNATURE
    while len(data) >= place + _HEAD and data[place + 4 : place + _HEAD] != _END:
        end = place + _HEAD + int.from_bytes(data[place : place + 4], "big")
        if data[place + 4 : place + _HEAD] == _PIXELS:
            checksum = zlib.crc32(memoryview(data)[place + 4 : end])
            if checksum != int.from_bytes(data[end : end + _CHECKSUM], "big"):
                raise UnreadableImageError(Defect.CORRUPT, "the checksum of its pixels is wrong")
        place = end + _CHECKSUM
