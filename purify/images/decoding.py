"""The decoder of ingest, training and embedding: bytes -> facts, bytes -> square RGB pixels.

A truncated image is unreadable, never half gray, whether an end mark closes it or not. Of an animation the first frame
is taken; the EXIF orientation is applied, transparency is laid over black, and of 16-bit pixels the upper byte is kept,
or of 10 or 12 bits in 16 their upper 8. HEIC is read with the extra ``heif``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from purify.images.defects import Defect, UnreadableImageError
from purify.images.heif import describe_unread, register_heif
from purify.images.jpeg_scans import load_jpeg
from purify.images.pixel_budget import DECODING, LargeImageError
from purify.images.plain_jpeg import plain_size
from purify.images.png_chunks import require_whole_png
from purify.images.sixteen_bits import deep_mode, to_eight_bits, with_low_bytes

Image.init()
register_heif()
# Raster formats of photos only: decoders of others (PostScript, PDF, ...) may run programs.
_WANTED = ("JPEG", "MPO", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF", "HEIF", "JPEG2000")
_FORMATS = tuple(name for name in _WANTED if name in Image.OPEN)
# The row's status records the decoder's finding; its warnings, from many threads, would clutter the terminal.
warnings.filterwarnings("ignore", module=r"PIL\.")

_MODES = frozenset({"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"})
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"RIFF", b"II*\0", b"MM\0*")
#: EXIF orientation -> the transpose that turns the image upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = frozenset((5, 6, 7, 8))
#: The box filter may do the coarse part of a reduction, down to this many times the wanted size.
_REDUCING_GAP = 2.0


_Load = Callable[[Image.Image, bytes], object]


@dataclass(frozen=True)
class ImageFacts:
    """Size of an image (upright, in pixels; None if it can't be decoded) and its defect, if any."""

    width: int | None
    height: int | None
    #: The first word of `reason`; None for a usable image.
    defect: Defect | None = None
    #: As in the manifest's ``status_reason``.
    reason: str | None = None


def inspect_image(data: bytes, *, min_size: int, max_pixels: int) -> ImageFacts:
    """Decode an image in full and report its size and defect; bad bytes raise no error.

    `min_size` is that of the shorter side, in pixels; images that declare more than `max_pixels` are not decoded.
    """
    try:
        width, height = plain_size(data, max_pixels) or _decode_in_full(data, max_pixels)
    except UnreadableImageError as error:
        return ImageFacts(None, None, error.defect, str(error))
    if min(width, height) < min_size:
        return ImageFacts(width, height, Defect.TOO_SMALL, f"{Defect.TOO_SMALL}: {width}x{height} < {min_size}")
    return ImageFacts(width, height)


def _decode_in_full(data: bytes, max_pixels: int) -> tuple[int, int]:
    """Width and height, upright, of an image whose codes have all been read."""
    with _as_defects(data):
        image = _open(data)
        width, height = image.size
        if width * height > max_pixels:
            raise UnreadableImageError(Defect.DECOMPRESSION_BOMB, f"declares {width}x{height} pixels > {max_pixels}")
        if isinstance(image, JpegImageFile):
            image.draft("L", (1, 1))  # reads all codes at less cost
        with DECODING.take(image.size[0] * image.size[1]):
            if isinstance(image, JpegImageFile):
                load_jpeg(image, data)
            else:
                _to_rgb(image, data)
        return (height, width) if _orientation(image) in _SIDEWAYS else (width, height)


def decode_rgb(data: bytes, size: int) -> npt.NDArray[np.uint8]:
    """Pixels uint8[size, size, 3] of the central square, reduced with antialiasing; thread safe.

    UnreadableImageError if the bytes can't be decoded.
    """
    with _as_defects(data):
        return _square(data, size, _load_whole)


def decode_inspected(data: bytes, size: int) -> npt.NDArray[np.uint8]:
    """As `decode_rgb`, without another search for damage, of bytes in which `inspect_image` has found none."""
    try:
        return _square(data, size, lambda image, _data: image.load())
    except LargeImageError:
        raise
    except Exception:  # noqa: BLE001 - the other way finds the name of whatever it is
        return decode_rgb(data, size)


def _square(data: bytes, size: int, load: _Load) -> npt.NDArray[np.uint8]:
    image = _open(data)
    image.draft(None, (int(_REDUCING_GAP * size),) * 2)  # a large JPEG is decoded at 1/2, 1/4 or 1/8
    with DECODING.take(image.size[0] * image.size[1]):
        pixels = _reduced(_to_rgb(image, data, load), size)
    orientation = _orientation(image)
    if orientation in _UPRIGHT:  # the same as cropping the turned image, at less cost
        pixels = pixels.transpose(_UPRIGHT[orientation])
    return np.array(pixels)


def _reduced(pixels: Image.Image, size: int) -> Image.Image:
    """The central square with a side of `size` pixels."""
    if pixels.size == (size, size):
        return pixels
    width, height = pixels.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    box = left, top, left + side, top + side
    return pixels.resize((size, size), Image.Resampling.BILINEAR, box=box, reducing_gap=_REDUCING_GAP)


def decode_upright(data: bytes) -> npt.NDArray[np.uint8]:
    """All pixels uint8[H, W, 3] of an image, turned upright; UnreadableImageError if the bytes can't be decoded."""
    with _as_defects(data):
        image = _open(data)
        with DECODING.take(image.size[0] * image.size[1]):
            pixels = _to_rgb(image, data)
        if (orientation := _orientation(image)) in _UPRIGHT:
            pixels = pixels.transpose(_UPRIGHT[orientation])
    return np.array(pixels)


def square_side(data: bytes) -> int:
    """Side in pixels of an image's central square; UnreadableImageError if its header can't be read."""
    with _as_defects(data):
        return min(_open(data).size)


def _open(data: bytes) -> Image.Image:
    if not data:
        raise UnreadableImageError(Defect.ZERO_BYTES)
    return Image.open(BytesIO(data), formats=_FORMATS)


def _load_whole(image: Image.Image, data: bytes) -> None:
    """Load the pixels of an opened image; UnreadableImageError if some are missing or damaged."""
    if isinstance(image, JpegImageFile):
        load_jpeg(image, data)
    image.load()
    if image.format == "PNG":
        require_whole_png(data)


def _to_rgb(image: Image.Image, data: bytes, load: _Load = _load_whole) -> Image.Image:
    deep = deep_mode(image)
    load(image, data)
    if image.mode.startswith("I"):  # 16-bit gray, some of it in 32-bit integers
        return Image.fromarray(to_eight_bits(np.asarray(image))).convert("RGB")
    if image.mode not in _MODES:
        raise UnreadableImageError(Defect.UNSUPPORTED, f"pixel mode {image.mode}; convert it to 8-bit RGB or gray")
    if deep:
        image = with_low_bytes(image, lambda: _open(data), deep)
    if image.has_transparency_data:
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, image.convert("RGBA")).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    """EXIF orientation (1 to 8) of a loaded image; 1, upright, where it can't be read."""
    if "exif" not in image.info and image.format != "TIFF":
        return 1
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # noqa: BLE001 - parsers of damaged metadata raise nearly anything, though the pixels are intact
        return 1
    return value if isinstance(value, int) else 1


@contextmanager
def _as_defects(data: bytes) -> Iterator[None]:
    try:
        yield
    except (UnreadableImageError, LargeImageError):
        raise
    except Image.DecompressionBombError as error:
        raise UnreadableImageError(Defect.DECOMPRESSION_BOMB, str(error)) from error
    except Exception as error:
        raise _damage(data, error) from error


def _damage(data: bytes, error: Exception) -> UnreadableImageError:
    if isinstance(error, UnidentifiedImageError):  # its own text is the address of a buffer
        if unread := describe_unread(data):
            return UnreadableImageError(Defect.UNSUPPORTED, unread)
        if not data.startswith(_SIGNATURES):
            return UnreadableImageError(Defect.NOT_AN_IMAGE, "no decoder knows these bytes")
        if _is_cut_short(data):
            return UnreadableImageError(Defect.TRUNCATED, "the file ends before its header does")
        return UnreadableImageError(Defect.CORRUPT, "its header makes no sense")
    detail = (str(error).splitlines() or [""])[0] or type(error).__name__
    cut_short = "truncated" in detail or _is_cut_short(data)
    return UnreadableImageError(Defect.TRUNCATED if cut_short else Defect.CORRUPT, detail)


def _is_cut_short(data: bytes) -> bool:
    """Whether the end marker or the length promised by the format is missing."""
    tail = data[-64:]
    if data.startswith(b"\xff\xd8"):
        return b"\xff\xd9" not in tail
    if data.startswith(b"\x89PNG"):
        return b"IEND" not in tail
    if data.startswith(b"GIF8"):
        return not tail.rstrip(b"\0").endswith(b";")
    if data.startswith(b"RIFF"):
        return int.from_bytes(data[4:8], "little") + 8 > len(data)
    if data.startswith(b"BM"):
        return int.from_bytes(data[2:6], "little") > len(data)
    return False
