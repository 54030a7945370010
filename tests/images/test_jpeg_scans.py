from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from purify.images.decoding import ImageFacts, decode_rgb, inspect_image
from purify.images.defects import Defect
from purify.images.jpeg_structure import read_structure

CODINGS = {
    "baseline": {},
    "optimized": {"optimize": True},
    "progressive": {"progressive": True},
    "full chroma": {"subsampling": 0, "quality": 95},
    "restarts": {"restart_marker_rows": 1},
    "many restarts": {"restart_marker_blocks": 1},
    "progressive with restarts": {"progressive": True, "restart_marker_rows": 1},
}


def inspect(data: bytes) -> ImageFacts:
    return inspect_image(data, min_size=1, max_pixels=10_000_000)


def picture(mode: str = "RGB", side: int = 112) -> Image.Image:
    rng = np.random.default_rng(7)
    coarse = Image.fromarray(rng.integers(0, 255, (12, 12, 3), dtype=np.uint8)).resize((side, side))
    grain = np.asarray(coarse, np.int16) + rng.integers(-9, 9, (side, side, 3))
    return Image.fromarray(grain.clip(0, 255).astype(np.uint8)).convert(mode)


def jpeg(mode: str = "RGB", **options: object) -> bytes:
    stream = io.BytesIO()
    picture(mode).save(stream, "JPEG", **options)
    return stream.getvalue()


def first_data(data: bytes) -> int:
    """Where the data of the first scan begin."""
    return len(read_structure(data).pieces[0].header)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_whole_jpeg_is_ok_with_whatever_lies_behind_it(coding: str, mode: str) -> None:
    whole = jpeg(mode, **CODINGS[coding])
    pixels = np.asarray(Image.open(io.BytesIO(whole)).convert("RGB"))
    fill = whole[:-2] + b"\xff" * 5 + b"\xff\xd9"
    for data in (whole, whole + whole, whole + b"trailing" * 99, whole + bytes(5000), fill):
        assert inspect(data) == ImageFacts(112, 112)
        np.testing.assert_array_equal(decode_rgb(data, 112), pixels)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_cut_jpeg_is_truncated_closed_or_not(coding: str, mode: str, share: float) -> None:
    whole = jpeg(mode, **CODINGS[coding])
    start = first_data(whole)
    cut = whole[: start + int(share * (len(whole) - start))]
    assert inspect(cut).defect is Defect.TRUNCATED
    assert inspect(cut + b"\xff\xd9").defect in (Defect.TRUNCATED, Defect.CORRUPT)


@pytest.mark.parametrize("coding", CODINGS)
def test_a_jpeg_with_a_hole_is_no_image(coding: str) -> None:
    whole = jpeg(**CODINGS[coding])
    start = first_data(whole)
    third = (len(whole) - start) // 3
    rubbish = np.random.default_rng(1).bytes(third)
    for filling in (b"", bytes(third), b"\xff" * third, rubbish):
        facts = inspect(whole[: start + third] + filling + whole[start + 2 * third :])
        assert facts.defect in (Defect.TRUNCATED, Defect.CORRUPT), filling[:8]


def test_padding_and_plain_areas_are_no_damage() -> None:
    whole = jpeg(optimize=True)
    assert inspect(whole[:-2] + bytes(300) + b"\xff\xd9").defect is None
    plain = np.asarray(picture()).copy()
    plain[40:] = 0
    stream = io.BytesIO()
    Image.fromarray(plain).resize((1120, 1120)).save(stream, "JPEG", optimize=True, quality=30)
    assert inspect(stream.getvalue()).defect is None


def test_a_lost_restart_is_named() -> None:
    whole = jpeg(restart_marker_rows=1)
    place = whole.index(b"\xff\xd3")
    facts = inspect(whole[:place] + whole[place + 2 :])
    assert facts.defect is Defect.CORRUPT
    assert "restart" in str(facts.reason)


@pytest.mark.parametrize("name", ["celebs112.tar", "lfw_raw_sample.tar", "lfw112.tar"])
def test_no_real_face_is_called_damaged(faces: Path, name: str) -> None:
    with tarfile.open(faces / name) as archive:
        for member in archive.getmembers()[:: 1 if "raw" in name else 29]:
            file = archive.extractfile(member) if member.isfile() else None
            if file is not None:
                assert inspect(file.read()).defect is None, member.name


def test_wrong_checksums_of_a_png_are_found() -> None:
    stream = io.BytesIO()
    picture().save(stream, "PNG", compress_level=0)
    data = bytearray(stream.getvalue())
    assert inspect(bytes(data)).defect is None
    data[len(data) // 2] ^= 1
    assert inspect(bytes(data)).defect is Defect.CORRUPT
