"""MessagePack of a pair, as databases of faces hold an image and its label.

Format: https://github.com/msgpack/msgpack/blob/master/spec.md. Bytes may be of type *bin* or, as older writers have
it, of type *str*.
"""

from __future__ import annotations

import struct

_PAIR = 0x92
#: First byte -> format of the length that follows, of bytes.
_BIN = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I"}
_STR = {0xD9: ">B", 0xDA: ">H", 0xDB: ">I"}
#: First byte -> format of an integer.
_INT = {0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q", 0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q"}
_FIRST_SHORT_STR, _FIRST_NEGATIVE, _LAST_POSITIVE = 0xA0, 0xE0, 0x7F
_SHORT_STR = range(_FIRST_SHORT_STR, 0xC0)


def unpack_pair(data: bytes | memoryview) -> tuple[bytes, int | str]:
    """Bytes, and an integer or text; ValueError if `data` is not exactly that."""
    try:
        if data[0] != _PAIR:
            raise ValueError("not a pair")
        content, at = _bytes_at(data, 1)
        second, end = _number_or_text_at(data, at)
    except (IndexError, struct.error) as error:
        raise ValueError("a damaged MessagePack") from error
    if end != len(data):
        raise ValueError("a damaged MessagePack")
    return content, second


def _bytes_at(data: bytes | memoryview, at: int) -> tuple[bytes, int]:
    """Bytes that begin at a position, and where they end."""
    kind = data[at]
    if kind in _SHORT_STR:
        start, length = at + 1, kind - _FIRST_SHORT_STR
    elif (form := _BIN.get(kind) or _STR.get(kind)) is not None:
        start = at + 1 + struct.calcsize(form)
        length = struct.unpack_from(form, data, at + 1)[0]
    else:
        raise ValueError(f"MessagePack of type {kind:#x} where an image or text is expected")
    if start + length > len(data):
        raise ValueError("a damaged MessagePack")
    return bytes(data[start : start + length]), start + length


def _number_or_text_at(data: bytes | memoryview, at: int) -> tuple[int | str, int]:
    kind = data[at]
    if kind <= _LAST_POSITIVE or kind >= _FIRST_NEGATIVE:
        return kind if kind <= _LAST_POSITIVE else kind - 256, at + 1
    if (form := _INT.get(kind)) is not None:
        return struct.unpack_from(form, data, at + 1)[0], at + 1 + struct.calcsize(form)
    text, end = _bytes_at(data, at)
    return text.decode("utf-8", "surrogateescape"), end
