"""Photos of aligned faces: with the box of the face drawn, beside its crop, and how many showed none or several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image, ImageDraw

from purify.errors import PurifyError
from purify.images.decoding import decode_upright
from purify.report.canvas import data_url
from purify.report.thumbnails import jpeg_bytes, read_face
from purify.storage.image_bytes import ImageByteReader
from purify.tables.schema import Status

_SIDE, _CROP_SIDE, _QUALITY = 224, 96, 78
#: Photos shown of each kind.
_SHOWN = 6
_BOX, _POINT = (255, 205, 0), (0, 230, 90)


def photo_counts(manifest: pa.Table) -> dict[str, int] | None:
    """What came in, where photos were aligned: numbers of rows with ``one`` face, ``several``, none, and so on.

    ``agreeing`` of those with several are the face that agrees with its label. None without photos.
    """
    aligned = manifest.filter(manifest["faces"].is_valid())
    if not len(aligned):
        return None
    usable = pc.equal(aligned["status"], Status.OK.value)
    found = {entry["values"]: entry["counts"] for entry in aligned["status"].value_counts().to_pylist()}
    several = pc.and_(usable, pc.greater(aligned["faces"], 1))
    agreeing = pc.starts_with(pc.fill_null(aligned["face_choice"], ""), "agrees")
    return {
        "photos": len(aligned["photo_uri"].unique()),
        "one": _sum(pc.and_(usable, pc.equal(aligned["faces"], 1))),
        "several": _sum(several),
        "agreeing": _sum(agreeing),
        "none": found.get(Status.NO_FACE.value, 0),
        "small": found.get(Status.TOO_SMALL.value, 0),
        "profile": found.get(Status.PROFILE.value, 0),
    }


@dataclass(frozen=True, eq=False)
class PhotoFace:
    """A photo with the box of its face drawn, uint8[H, W, 3], the crop (None without a usable face), what is said."""

    photo: npt.NDArray[np.uint8]
    crop: npt.NDArray[np.uint8] | None
    sample_id: str
    label: str
    said: str


def photo_faces(manifest: pa.Table, *, most: int = _SHOWN, most_single: int = 0, side: int = _SIDE) -> list[PhotoFace]:
    """Photos of aligned rows, up to `most` of each kind; those that can't be read are left out.

    Faces chosen by agreement come first, then others of several, photos without a usable face, and `most_single` of
    photos with one face.
    """
    aligned = manifest.filter(manifest["faces"].is_valid())
    usable = pc.equal(aligned["status"], Status.OK.value)
    agreeing = pc.starts_with(pc.fill_null(aligned["face_choice"], ""), "agrees")
    several = pc.and_(pc.and_(usable, pc.greater(aligned["faces"], 1)), pc.invert(agreeing))
    single = pc.and_(usable, pc.equal(aligned["faces"], 1))
    kinds = [aligned.filter(kind).slice(0, most) for kind in (agreeing, several, pc.invert(usable))]
    kinds.append(aligned.filter(single).slice(0, most_single))
    with ImageByteReader() as reader:
        found = [_photo_face(reader, row, side) for row in pa.concat_tables(kinds).to_pylist()]
    return [one for one in found if one is not None]


def shown_photos(manifest: pa.Table) -> list[dict[str, Any]]:
    """A few photos for the page: faces chosen by agreement, others of several, and photos without a usable face."""
    return [
        {
            "photo": _jpeg_url(one.photo),
            "crop": None if one.crop is None else _jpeg_url(one.crop),
            "sample_id": one.sample_id,
            "label": one.label,
            "said": one.said,
        }
        for one in photo_faces(manifest)
    ]


def photo_with_box(
    reader: ImageByteReader, uri: str | None, box: list[float] | None, points: list[float] | None, side: int
) -> npt.NDArray[np.uint8] | None:
    """The photo at `uri`, its longer side at most `side` pixels, with box and points drawn; None if unavailable."""
    if uri is None:
        return None
    try:
        photo = Image.fromarray(decode_upright(reader.read(uri)))
    except (PurifyError, OSError, ValueError):
        return None
    before = photo.width
    photo.thumbnail((side, side))
    scale = photo.width / before
    draw, line = ImageDraw.Draw(photo), max(2, side // 150)
    if box is not None:
        draw.rectangle([value * scale for value in box], outline=_BOX, width=line)
    for x, y in np.reshape(points or [], (-1, 2)) * scale:
        draw.ellipse([x - line, y - line, x + line, y + line], fill=_POINT)
    return np.asarray(photo)


def _photo_face(reader: ImageByteReader, row: Mapping[str, Any], side: int) -> PhotoFace | None:
    photo = photo_with_box(reader, row["photo_uri"], row["box"], row["points"], side)
    if photo is None:
        return None
    crop = read_face(reader, _CROP_SIDE, row["uri"]) if row["status"] == Status.OK.value else None
    return PhotoFace(photo, crop, row["sample_id"], row["label"], row["face_choice"] or row["status_reason"] or "")


def _jpeg_url(picture: npt.NDArray[np.uint8]) -> str:
    return data_url(jpeg_bytes(picture, quality=_QUALITY), "jpeg")


def _sum(mask: pa.ChunkedArray) -> int:
    return pc.sum(mask).as_py() or 0
