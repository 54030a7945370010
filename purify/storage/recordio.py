"""RecordIO, MXNet's container of images: framing, image headers, and the layout of face recognition's ``train.rec``.

A file is a sequence of records. A record begins with a magic number and a word that holds its length and the place of
this part in the record, and is padded to 4 bytes. Where the payload holds the magic number at a multiple of 4 bytes,
the writer leaves the number out and starts a new part; the reader puts it back. Formats: dmlc-core's ``recordio.h``,
MXNet's ``recordio.py`` and InsightFace's ``face2rec2.py``. These functions know no files.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

MAGIC = struct.pack("<I", 0xCED7230A)
#: Most bytes of a record, the limit of its 29-bit length.
MOST_PAYLOAD = (1 << 29) - 1
#: Largest position that InsightFace's header and identity records, which are float32, can hold exactly.
MOST_EXACT_POSITION = 1 << 24
#: Magic number and length word of a part.
PART_HEADER = struct.Struct("<4sI")
#: Flag, label, id and a second id, in front of an image.
IMAGE_HEADER = struct.Struct("<IfQQ")

_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
_MOST_LABELS = 1 << 16


class DamagedRecordError(ValueError):
    """Bytes that are no RecordIO record, or a damaged one."""


class CutRecordError(DamagedRecordError):
    """The beginning of a record without its end."""


@dataclass(frozen=True)
class ImageRecord:
    """Payload of a record: a header and the encoded image.

    In InsightFace's layout, records without image bytes hold a range of record numbers, ``[labels[0], labels[1])``:
    record 0 that of the identity records, an identity record that of its images.
    """

    #: Of an image: its class, and what the writer added. Numbers that fit into float32.
    labels: tuple[float, ...]
    #: Number of the record, as its writer counted.
    number: int
    image: bytes
    second_number: int = 0


def frame(payload: bytes) -> bytes:
    """A record with `payload`, as it stands in the file; ValueError if it is too long for RecordIO."""
    if len(payload) > MOST_PAYLOAD:
        raise ValueError(f"{len(payload)} bytes; a RecordIO record has at most {MOST_PAYLOAD}")
    cuts = list(_aligned_magics(payload))
    starts, ends = [0, *(cut + len(MAGIC) for cut in cuts)], [*cuts, len(payload)]
    parts: list[bytes] = []
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        place = (_FIRST if cuts else _WHOLE) if number == 0 else _LAST if number == len(cuts) else _MIDDLE
        parts += (PART_HEADER.pack(MAGIC, place << 29 | (end - start)), payload[start:end])
    return b"".join((*parts, bytes(-len(payload) % 4)))


def unframe(data: bytes) -> tuple[bytes, int]:
    """Payload of the record at the start of `data`, and the record's length with its padding.

    DamagedRecordError if no record stands there, CutRecordError if only the beginning of one does.
    """
    parts: list[bytes] = []
    offset = 0
    while True:
        if len(data) < offset + PART_HEADER.size:
            raise CutRecordError("the data ends inside a record")
        magic, word = PART_HEADER.unpack_from(data, offset)
        place, length = word >> 29, word & MOST_PAYLOAD
        if magic != MAGIC or place not in ((_MIDDLE, _LAST) if parts else (_WHOLE, _FIRST)):
            raise DamagedRecordError("no record starts here")
        start = offset + PART_HEADER.size
        parts.append(data[start : start + length])
        offset = start + length + -length % 4
        if len(data) < offset:
            raise CutRecordError("the data ends inside a record")
        if place in (_WHOLE, _LAST):
            return MAGIC.join(parts), offset


def pack_image(record: ImageRecord) -> bytes:
    """The payload of a record, as MXNet's ``recordio.pack`` writes it: one label in the header, several behind it."""
    if len(record.labels) == 1:
        return IMAGE_HEADER.pack(0, record.labels[0], record.number, record.second_number) + record.image
    header = IMAGE_HEADER.pack(len(record.labels), 0, record.number, record.second_number)
    return header + np.asarray(record.labels, "<f4").tobytes() + record.image


def unpack_image(payload: bytes) -> ImageRecord:
    """Split the payload of a record; DamagedRecordError if it is too short for its header."""
    if len(payload) < IMAGE_HEADER.size:
        raise DamagedRecordError(f"{len(payload)} bytes are no image record")
    flag, label, number, second = IMAGE_HEADER.unpack_from(payload)
    start = IMAGE_HEADER.size + 4 * flag
    if flag > _MOST_LABELS or len(payload) < start:
        raise DamagedRecordError(f"the header promises {flag} labels, which the record doesn't hold")
    labels = tuple(np.frombuffer(payload, "<f4", flag, IMAGE_HEADER.size).tolist()) if flag else (label,)
    return ImageRecord(labels, number, payload[start:], second)


def insightface_records(images: Iterable[tuple[int, bytes]], counts: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """Yield the records of InsightFace's layout: the key of each for the ``.idx``, and its bytes in the ``.rec``.

    First a header record with the range of the identity records, then the images, numbered from 1, then one identity
    record for each class with the range of its images.

    Parameters
    ----------
    images
        Class number, from 0, and encoded image; sorted by class.
    counts
        Number of images of each class.

    Raises
    ------
    ValueError
        If the images don't come in that order and number.
    """
    ends = np.cumsum([1, *counts])
    first_identity = int(ends[-1])
    yield 0, _range_record(0, first_identity, first_identity + len(counts))
    number = 0
    for number, (label, image) in enumerate(images, start=1):
        if not 0 <= label < len(counts) or not ends[label] <= number < ends[label + 1]:
            raise ValueError(f"image {number} of class {label} doesn't fit the counts; sort the images by class")
        yield number, frame(pack_image(ImageRecord((float(label),), number, image)))
    if number + 1 != first_identity:
        raise ValueError(f"{number} images, but the counts announce {first_identity - 1}")
    for label in range(len(counts)):
        number = first_identity + label
        yield number, _range_record(number, int(ends[label]), int(ends[label + 1]))


def index_line(key: int, offset: int) -> str:
    """Line of the ``.idx``: key and position in bytes of a record."""
    return f"{key}\t{offset}\n"


def list_line(path: str, label: int) -> str:
    """Line of InsightFace's ``.lst`` for an aligned image."""
    return f"1\t{path}\t{label}\n"


def property_line(classes: int, height: int, width: int) -> str:
    """Content of the file ``property``: number of classes, and size of the images in pixels."""
    return f"{classes},{height},{width}\n"


def _range_record(number: int, start: int, end: int) -> bytes:
    """A record that holds a range; a position that float32 can't hold is rounded down, so that no reader runs past."""
    bounds = np.asarray((start, end), np.float64)
    rounded = bounds.astype(np.float32)
    too_large = rounded.astype(np.float64) > bounds
    rounded[too_large] = np.nextafter(rounded[too_large], np.float32(0))
    return frame(pack_image(ImageRecord(tuple(rounded.tolist()), number, b"")))


def _aligned_magics(payload: bytes) -> Iterator[int]:
    """Positions of the magic number at multiples of 4 bytes."""
    last = len(payload) // 4 * 4
    position = payload.find(MAGIC, 0, last)
    while position >= 0:
        if position % 4 == 0:
            yield position
        position = payload.find(MAGIC, position + (4 if position % 4 == 0 else 1), last)
