"""Kinds of image files by their first bytes, and images encoded anew."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from purify.images.decoding import decode_rgb, square_side

#: Suffix of images that are encoded anew.
ENCODED_SUFFIX = ".jpg"
_QUALITY = 95
_STARTS = (
    (b"\xff\xd8", "jpg"),
    (b"\x89PNG", "png"),
    (b"GIF8", "gif"),
    (b"BM", "bmp"),
    (b"II*\0", "tif"),
    (b"MM\0*", "tif"),
    (b"\0\0\0\x0cjP  ", "jp2"),
    (b"\xff\x4f\xff\x51", "jp2"),
)
#: What `file_kind` may answer.
FILE_KINDS = ("jpg", "png", "webp", "bmp", "gif", "tif", "jp2", "avif", "heic", "ppm", "bin")
_BRANDS = {b"avif": "avif", b"avis": "avif", b"heic": "heic", b"heix": "heic", b"mif1": "heic", b"msf1": "heic"}


def file_kind(data: bytes) -> str:
    """Usual suffix, without its dot, of a file with these bytes; ``bin`` for an unknown kind."""
    for start, kind in _STARTS:
        if data.startswith(start):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12], "bin")
    return "ppm" if data[:1] == b"P" and data[1:2] in b"123456" else "bin"


def square_jpeg(data: bytes, size: int | None) -> bytes:
    """The central square of an image as a JPEG of quality 95 without chroma subsampling, upright.

    `size` is its side in pixels; None keeps the scale. UnreadableImageError if the bytes can't be decoded.
    """
    return encode_jpeg(decode_rgb(data, size or square_side(data)))


def encode_jpeg(pixels: npt.NDArray[np.uint8]) -> bytes:
    """``pixels[H, W, 3]`` as a JPEG of quality 95 without chroma subsampling."""
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=_QUALITY, subsampling=0)
    return stream.getvalue()
