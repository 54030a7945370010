"""JPEG pixels, with the damage that libjpeg keeps to itself: data that end before the last block, or go on behind it.

libjpeg fills what is missing with gray, goes on behind damage, and only warns, which Pillow doesn't hear. Here the
decoder is fed piece by piece, and how many bytes it takes tells where it is. Behind the data of a scan come bits that
are no code of any JPEG: a decoder that is done skips them at once, one that still wants blocks stays behind. So the
check costs no second decoding.

Source: ITU-T T.81, sections F.1.2 (a code of ones alone is never assigned) and B.1.1.2 (fill bytes before markers).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self, cast

from PIL import Image, ImageFile

from purify.images.defects import Defect, UnreadableImageError
from purify.images.jpeg_structure import LOST, MOST_LEFT, OtherJpegError, Structure, read_structure

#: Eight bits of one, 0xFF with its stuffing.
_ONES = b"\xff\0"
#: More bytes than libjpeg reads ahead.
_AHEAD = 8 * _ONES
#: A block takes 17 bits of ones or more, so a decoder that wants blocks can't finish one with each of these.
_PROBES = 3
#: Fed one by one to see whether each is taken at once, which is rare for data of blocks.
_SINGLE_BYTES = 3
_CHUNK = 1 << 16
_END_MARK = b"\xff\xd9"


def load_jpeg(image: ImageFile.ImageFile, data: bytes) -> None:
    """Load the pixels of an opened JPEG, as ``image.load()`` does.

    `data` are the bytes of the file. UnreadableImageError if its pixels are incomplete or damaged, OSError if libjpeg
    refuses it.
    """
    try:
        structure = read_structure(data)
    except OtherJpegError:
        image.load()
        return
    for piece in structure.pieces if structure.is_ended else ():
        if piece.lost_restart:
            raise UnreadableImageError(Defect.CORRUPT, "restart markers are missing in its data")
        if not piece.plain_is_zero and LOST in piece.data.rstrip(b"\0"):  # zeros at its end may be padding
            raise UnreadableImageError(Defect.CORRUPT, "its data hold a run of zeros, as a lost block of a disk does")
    tiles = list(image.tile)
    suspect = _decode(image, structure)
    image.tile = []
    if suspect and _ends_early(image, structure, tiles):
        raise UnreadableImageError(Defect.CORRUPT, "its data go on behind its last block, so blocks before are damaged")


def _decode(image: ImageFile.ImageFile, structure: Structure) -> bool:
    """Decode an image; whether its last data may lie behind its last block."""
    suspect = False
    with ScanDecoder(_decoder_of(image, image.tile)) as decoder:
        for piece in structure.pieces:
            body, tail = piece.data[:-MOST_LEFT], piece.data[-MOST_LEFT:]
            decoder.feed(piece.header + body)
            if piece is structure.pieces[-1] and body and piece.has_blocks:
                suspect, tail = decoder.takes_single_bytes(tail)
            if not (piece.has_blocks and structure.is_ended):
                decoder.feed(tail)
            elif not decoder.is_done_by(tail):
                raise UnreadableImageError(Defect.TRUNCATED, "its data end before its last block, the rest is gray")
        if not (decoder.ends() if structure.is_ended else decoder.is_finished):
            raise UnreadableImageError(Defect.TRUNCATED, "the file ends inside its data")
    return suspect


def _ends_early(image: ImageFile.ImageFile, structure: Structure, tiles: Sequence[Any]) -> bool:
    """Whether the last block of an image ends before its last data do, which are no mere padding; decodes it again."""
    data = structure.pieces[-1].data
    if not _is_whole(image, structure, tiles, len(data) - MOST_LEFT):
        return False
    unpadded = len(data.rstrip(data[-1:])) + len(_AHEAD)
    return unpadded > len(data) - MOST_LEFT or not _is_whole(image, structure, tiles, unpadded)


def _is_whole(image: ImageFile.ImageFile, structure: Structure, tiles: Sequence[Any], length: int) -> bool:
    """Whether an image has all its blocks with no more than `length` bytes of its last data."""
    *before, last = structure.pieces
    with ScanDecoder(_decoder_of(image, tiles, image.copy().im)) as decoder:
        for piece in before:
            decoder.feed(piece.header + piece.data)
        return decoder.is_done_by(last.header + last.data[:length])


def _decoder_of(image: ImageFile.ImageFile, tiles: Sequence[Any], target: Any = None) -> Any:
    """Pillow's decoder of an image, which writes to its own pixels, or to those of `target`."""
    image.load_prepare()
    name, extents, _, arguments = tiles[0]
    decoder = cast(Any, Image._getdecoder(image.mode, name, arguments, image.decoderconfig))
    decoder.setimage(image.im if target is None else target, extents)
    return decoder


class ScanDecoder:
    """Pillow's decoder of a JPEG, fed by hand."""

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder
        self._rest = b""
        self.is_finished = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._decoder.cleanup()

    def feed(self, data: bytes) -> bool:
        """Decode on; whether all bytes were taken. OSError if libjpeg refuses them."""
        for start in range(0, len(data), _CHUNK):
            if self.is_finished:
                break
            self._rest += data[start : start + _CHUNK]
            taken, code = self._decoder.decode(self._rest)
            if taken >= 0:
                self._rest = self._rest[taken:]
                continue
            self.is_finished = True
            if code < 0:
                raise OSError("broken data stream when reading image file")
        return self.is_finished or not self._rest

    def takes_single_bytes(self, data: bytes) -> tuple[bool, bytes]:
        """Decode on by single bytes as long as each is taken at once; whether all were, and the rest of `data`."""
        for place in range(_SINGLE_BYTES):
            if not self.feed(data[place : place + 1]):
                return False, data[place + 1 :]
        return True, data[_SINGLE_BYTES:]

    def is_done_by(self, data: bytes) -> bool:
        """Decode on; whether the scan has all its blocks. What is fed behind `data` for that is not in the image."""
        self.feed(data + _AHEAD)
        return all(self.feed(_ONES) for _ in range(_PROBES))

    def ends(self) -> bool:
        """Decode the end mark; whether the image is finished then."""
        self.feed(_END_MARK)
        return self.is_finished
