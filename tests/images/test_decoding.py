from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from purify.images.decoding import ImageFacts, decode_rgb, inspect_image
from purify.images.defects import Defect, UnreadableImageError
from purify.images.heif import heif_package

Encode = Callable[..., bytes]


def inspect(data: bytes) -> ImageFacts:
    return inspect_image(data, min_size=16, max_pixels=1_000_000)


def save(image: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM"])
def test_formats_are_read(encode: Encode, file_format: str) -> None:
    data = encode(30, 20, file_format)
    assert inspect(data) == ImageFacts(30, 20, None, None)
    pixels = decode_rgb(data, 16)
    assert pixels.shape == (16, 16, 3)
    assert pixels.dtype == np.uint8


@pytest.mark.parametrize(
    ("mode", "file_format"),
    [("1", "PNG"), ("L", "PNG"), ("LA", "PNG"), ("P", "PNG"), ("RGBA", "PNG"), ("CMYK", "JPEG"), ("L", "JPEG")],
)
def test_modes_become_rgb(encode: Encode, mode: str, file_format: str) -> None:
    data = encode(24, 24, file_format, mode=mode)
    assert inspect(data).defect is None
    expected = Image.open(io.BytesIO(data)).convert("RGB")
    np.testing.assert_array_equal(decode_rgb(data, 24), np.asarray(expected))


def test_a_png_of_the_wanted_size_keeps_its_pixels(encode: Encode) -> None:
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)
    np.testing.assert_array_equal(decode_rgb(save(Image.fromarray(pixels), "PNG"), 24), pixels)


def test_transparency_lies_over_black() -> None:
    for alpha, expected in ((0, 0), (255, 200), (128, 100)):
        data = save(Image.new("RGBA", (20, 20), (200, 200, 200, alpha)), "PNG")
        assert abs(int(decode_rgb(data, 20)[5, 5, 0]) - expected) <= 1
    palette = Image.new("P", (20, 20), 1)
    palette.putpalette([9, 9, 9, 250, 250, 250])
    assert decode_rgb(save(palette, "PNG", transparency=1), 20).max() == 0


def test_sixteen_bits_keep_the_upper_byte() -> None:
    values = np.full((20, 20), 0x8042, dtype=np.uint16)
    for file_format in ("PNG", "TIFF"):
        data = save(Image.fromarray(values), file_format)
        assert np.unique(decode_rgb(data, 20)).tolist() == [0x80]


@pytest.mark.parametrize("bits", [10, 12, 16])
@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_fewer_bits_in_sixteen_keep_their_brightness(bits: int, file_format: str) -> None:
    ramp = np.linspace(0, (1 << bits) - 1, 400).round().astype(np.uint16).reshape(20, 20)
    pixels = decode_rgb(save(Image.fromarray(ramp), file_format), 20)[..., 0]
    np.testing.assert_array_equal(pixels, ramp >> (bits - 8))


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("bits", [10, 12, 16])
def test_colors_of_fewer_bits_in_sixteen_keep_their_brightness(bits: int, channels: int) -> None:
    deep = np.random.default_rng(0).integers(0, 1 << bits, (20, 20, channels), dtype=np.uint16)
    deep[0, 0] = (1 << bits) - 1
    if channels == 4:
        deep[..., -1] = 0xFFFF
    np.testing.assert_array_equal(decode_rgb(_deep_png(deep), 20), deep[..., :3] >> (bits - 8))


def _deep_png(pixels: np.ndarray) -> bytes:
    """A PNG of 16 bits a channel: pixels uint16[H, W, C]."""
    height, width, channels = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[channels], 0, 0, 0)
    chunks = (_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(rows)), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_the_first_frame_counts() -> None:
    frames = [Image.new("RGB", (20, 20), color) for color in ("red", "blue")]
    data = save(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode_rgb(data, 20)[3, 3].tolist() == [255, 0, 0]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_applied(orientation: int) -> None:
    upright = np.zeros((40, 20, 3), np.uint8)
    upright[10:20, :10] = 255  # upper left quarter of the central square
    stored = _as_stored(Image.fromarray(upright), orientation)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = save(stored, "PNG", exif=exif)
    facts = inspect(data)
    assert (facts.width, facts.height) == (20, 40)
    assert decode_rgb(data, 20)[..., 0].tolist() == upright[10:30, :, 0].tolist()


@pytest.mark.parametrize("orientation", [0, 9, 99, 65535])
def test_an_unknown_orientation_turns_nothing(orientation: int) -> None:
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (40, 30)).save(buffer, "JPEG", exif=exif)
    facts = inspect_image(buffer.getvalue(), min_size=8, max_pixels=10_000)
    assert (facts.width, facts.height) == (40, 30)


def _as_stored(upright: Image.Image, orientation: int) -> Image.Image:
    """Inverse of what a viewer does."""
    inverse = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    return upright.transpose(inverse[orientation]) if orientation in inverse else upright


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0rubbish" * 9])
def test_damaged_metadata_leaves_the_picture_upright(encode: Encode, exif: bytes) -> None:
    data = encode(20, 20, "JPEG", exif=exif)
    assert inspect(data).defect is None
    assert decode_rgb(data, 20).shape == (20, 20, 3)


def test_the_center_is_cropped_without_distortion() -> None:
    image = np.zeros((32, 96, 3), np.uint8)
    image[:, 32:64] = 255
    assert decode_rgb(save(Image.fromarray(image), "PNG"), 32).min() == 255


def test_reduction_does_not_alias() -> None:
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    pixels = decode_rgb(save(Image.fromarray(stripes), "PNG"), 48).astype(int)
    assert np.abs(pixels - 127)[1:-1, 1:-1].max() <= 2


def test_a_large_jpeg_looks_the_same_as_undrafted() -> None:
    y, x = np.mgrid[:1024, :1024] / 1024
    image = Image.fromarray((np.stack([x, y, (x + y) / 2], -1) * 255).astype(np.uint8))
    data = save(image, "JPEG", quality=95)
    plain = np.asarray(image.resize((48, 48), Image.Resampling.BILINEAR), int)
    assert np.abs(decode_rgb(data, 48).astype(int) - plain).max() <= 4


def test_threads_see_the_same_pixels(encode: Encode) -> None:
    data = [encode(60, 50, "JPEG", seed=i) for i in range(40)]
    with ThreadPoolExecutor(4) as pool:
        threaded = list(pool.map(lambda d: decode_rgb(d, 24), data))
    for pixels, single in zip(threaded, data, strict=True):
        np.testing.assert_array_equal(pixels, decode_rgb(single, 24))


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png_that_declares(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [1001, 10_000, 60_000])
def test_bombs_are_not_decoded(side: int) -> None:
    facts = inspect(_png_that_declares(side, side))
    assert (facts.width, facts.defect) == (None, Defect.DECOMPRESSION_BOMB)
    assert str(facts.reason).startswith("decompression_bomb: ")


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "BMP", "GIF"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_images_that_are_cut_short(encode: Encode, file_format: str, share: float) -> None:
    data = encode(100, 100, file_format)
    cut = data[: int(len(data) * share)]
    facts = inspect(cut)
    assert (facts.width, facts.defect) == (None, Defect.TRUNCATED)
    assert str(facts.reason).startswith("truncated: ")
    with pytest.raises(UnreadableImageError, match=r"^truncated: "):
        decode_rgb(cut, 32)


@pytest.mark.parametrize("length", [4, 30, 200])
def test_headers_that_are_cut_short(encode: Encode, length: int) -> None:
    for file_format in ("JPEG", "PNG", "WEBP"):
        assert str(inspect(encode(64, 64, file_format)[:length]).reason).startswith("truncated: ")


@pytest.mark.parametrize("data", [b"hello", b"<html></html>", b"%!PS-Adobe-3.0\nshowpage", b"%PDF-1.4", b"\0" * 500])
def test_what_is_no_image(data: bytes) -> None:
    facts = inspect(data)
    assert facts == ImageFacts(None, None, Defect.NOT_AN_IMAGE, "not_an_image: no decoder knows these bytes")


def test_damage_inside_is_not_called_truncated(encode: Encode) -> None:
    data = bytearray(encode(64, 64, "PNG"))
    data[60:90] = bytes(30)
    facts = inspect(bytes(data))
    assert (facts.width, facts.defect) == (None, Defect.CORRUPT)
    assert str(facts.reason).startswith("corrupt: ")


def test_modes_without_an_honest_rgb_are_refused() -> None:
    data = save(Image.new("F", (20, 20), 0.5), "TIFF")
    assert str(inspect(data).reason).startswith("unsupported: pixel mode F")


def test_zero_bytes() -> None:
    assert inspect(b"") == ImageFacts(None, None, Defect.ZERO_BYTES, "zero_bytes")


def test_small_images(encode: Encode) -> None:
    assert inspect(encode(9, 9)) == ImageFacts(9, 9, Defect.TOO_SMALL, "too_small: 9x9 < 16")
    assert inspect(encode(15, 90)).defect == Defect.TOO_SMALL
    assert inspect(encode(16, 16)).defect is None


@settings(max_examples=60, deadline=None)
@given(data=st.data(), file_format=st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"]))
def test_no_damage_raises_and_ok_means_decodable(encode: Encode, data: st.DataObject, file_format: str) -> None:
    content = bytearray(encode(40, 40, file_format))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    facts = inspect(bytes(content))
    assert (facts.defect is None) == (facts.reason is None)
    if facts.defect is None:
        assert decode_rgb(bytes(content), 24).shape == (24, 24, 3)


_HEIC = b"\0\0\0\x28ftyp%s\0\0\0\0mif1MiHEMiPrmiafMiHBheic" + bytes(2000)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (_HEIC % b"heic", "HEIC"),
        (_HEIC % b"mif1", "HEIC"),
        (b"\0\0\0\x18ftypavif\0\0\0\0avifmif1" + bytes(500), "AVIF|corrupt|truncated"),
        (b"\xff\x0a" + bytes(500), "JPEG XL"),
    ],
)
def test_formats_of_phones_are_named_whatever_the_files_name_says(data: bytes, words: str) -> None:
    facts = inspect(data)
    assert facts.defect in (Defect.UNSUPPORTED, Defect.CORRUPT, Defect.TRUNCATED)
    assert re.search(words, str(facts.reason))


def test_heic_is_read_with_the_extra() -> None:
    package = heif_package()
    if package != "pillow_heif":
        pytest.skip("pillow_heif, which can also write HEIC, is not installed")
    y, x = np.mgrid[:64, :64] * 4
    image = Image.fromarray(np.stack([x, y, (x + y) // 2], -1).astype(np.uint8))
    data = save(image, "HEIF", quality=95)
    assert inspect(data) == ImageFacts(64, 64)
    assert np.abs(decode_rgb(data, 64).astype(int) - np.asarray(image)).mean() < 4


def test_brands_are_read_whatever_size_their_box_declares() -> None:
    data = b"\xff\xff\xff\xff" + b"ftypxxxx" + 4 * b"\0" + b"avif" + 20 * b"\0"
    facts = inspect_image(data, min_size=1, max_pixels=1_000)  # once half a minute of CPU, by the declared size
    assert facts.reason is not None
    assert facts.reason.startswith("unsupported: AVIF")
