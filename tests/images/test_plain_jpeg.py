"""The fast way through common JPEGs finds what the general one does, which a file with XMP data takes."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from purify.images.decoding import inspect_image
from purify.images.plain_jpeg import plain_size

_XMP = b"http://ns.adobe.com/xap/1.0/\0<x/>"
_SEGMENTS = (
    b"JFIF",
    b"JFIF\0\1\1\0\0\1\0\1\0\0",
    b"Exif\0\0",
    b"ICC_PROFILE\0",
    b"MPF\0",
    b"Adobe",
    b"Photoshop 3.0\0",
)


def segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(content) + 2).to_bytes(2, "big") + content


def jpeg(mode: str, side: int = 64, **options: object) -> bytes:
    pixels = np.random.default_rng(side).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).resize((side, side + 3)).convert(mode).save(stream, "JPEG", **options)
    return stream.getvalue()


WHOLE = [jpeg(mode, **options) for mode in ("L", "RGB") for options in ({}, {"optimize": True}, {"quality": 95})]


def examined_both_ways(data: bytes, max_pixels: int = 10**7) -> None:
    slow = data[:2] + segment(0xE1, _XMP) + data[2:]
    assert plain_size(slow, max_pixels) is None
    limits = {"min_size": 16, "max_pixels": max_pixels}
    assert inspect_image(data, **limits) == inspect_image(slow, **limits)


@pytest.mark.parametrize("data", WHOLE)
def test_common_files_take_the_fast_way(data: bytes) -> None:
    assert plain_size(data, 10**7) == (64, 67)
    assert plain_size(data[:2] + segment(0xFE, b"a comment") + data[2:], 10**7) == (64, 67)
    examined_both_ways(data)
    examined_both_ways(data, max_pixels=100)


@pytest.mark.parametrize("side", [1, 2, 5, 7, 8, 9, 17])
def test_small_images_have_the_same_facts(side: int) -> None:
    examined_both_ways(jpeg("RGB", side))


@pytest.mark.parametrize("options", [{"progressive": True}, {"restart_marker_rows": 1}])
def test_other_codings_are_left_to_the_general_way(options: dict[str, object]) -> None:
    assert plain_size(jpeg("RGB", **options), 10**7) is None


@settings(max_examples=250, deadline=None)
@given(
    st.sampled_from(WHOLE),
    st.lists(st.tuples(st.integers(2, 4000), st.integers(0, 24), st.binary(max_size=70)), min_size=1, max_size=3),
    st.sampled_from([b"", b"\xff\xd9"]),
    st.one_of(st.none(), st.tuples(st.sampled_from(range(0xC0, 0xFF)), st.sampled_from(_SEGMENTS), st.binary())),
)
def test_damaged_files_have_the_same_facts(
    whole: bytes, edits: list[tuple[int, int, bytes]], end: bytes, added: tuple[int, bytes, bytes] | None
) -> None:
    data = whole
    for place, dropped, inserted in edits:
        start = 3 + place % len(data)
        data = data[:start] + inserted + data[start + dropped :]
    if added is not None:
        data = data[:2] + segment(added[0], added[1] + added[2]) + data[2:]
    examined_both_ways(data + end)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(WHOLE), st.integers(0, 400), st.binary(max_size=90))
def test_damaged_ends_have_the_same_facts(whole: bytes, cut: int, inserted: bytes) -> None:
    examined_both_ways(whole[: -2 - cut] + inserted + b"\xff\xd9")
