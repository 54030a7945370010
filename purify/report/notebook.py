"""Helpers of the notebooks: faces as figures, rows as data frames."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.figure import Figure
from PIL import Image

from purify.report.figures import contact_sheet
from purify.report.photos import PhotoFace, photo_counts, photo_faces
from purify.report.run_tables import RunTables
from purify.report.thumbnails import read_faces

#: Width of a photo with its crop in inches, letters of a line below them, and least side of the crop in pixels.
_PHOTO_WIDTH, _LINE, _CROP_SIDE = 2.6, 40, 80


def frame(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as a rounded data frame."""
    return pd.DataFrame(list(rows)).round(3)


def face_figure(run: RunTables, verdicts: pa.Table, *, most: int = 8, angles: str = "angle_dominant") -> Figure:
    """The first `most` of the `verdicts` as faces, with the column `angles` and the decision below each."""
    shown = verdicts.slice(0, most)
    faces = read_faces(run.manifest, shown["sample_id"].to_pylist())
    below = zip(shown[angles].to_pylist(), shown["decision"].to_pylist(), strict=True)
    lines = [decision if angle is None else f"{angle:.0f}\u00b0 {decision}" for angle, decision in below]
    there = [(face, line) for face, line in zip(faces, lines, strict=True) if face is not None]
    return contact_sheet([face for face, _ in there], [line for _, line in there])


def came_in(run: RunTables) -> pd.DataFrame:
    """What came in: photos by the faces found in them, or images by whether they are usable, with their numbers."""
    counts = photo_counts(run.manifest)
    if counts is None:
        found = run.manifest["status"].value_counts().to_pylist()
        return frame({"images that are": entry["values"], "number": entry["counts"]} for entry in found)
    names = {
        "one": "one face",
        "several": "several faces",
        "agreeing": "... and of them that of the label's other photos",
        "none": "no face",
        "small": "too small a face",
        "profile": "a face turned away",
    }
    return frame({"photos with": words, "number": counts[name]} for name, words in names.items())


def photo_figure(run: RunTables, label: str | None = None, *, most: int = 3) -> Figure | str:
    """Photos with the box of the face drawn, the crop beside it, and why this face; or why there are none.

    Up to `most` of each kind: chosen by agreement, the largest of several, without a usable face, the only face. Those
    of one `label`, or of all.
    """
    rows = run.manifest if label is None else run.manifest.filter(pc.equal(run.manifest["label"], label))
    found = photo_faces(rows, most=most, most_single=most)
    if not found:
        return "no photos: the images came as crops"
    captions = ["\n".join([one.sample_id, *textwrap.wrap(one.said, _LINE)[:3]]) for one in found]
    return contact_sheet([_side_by_side(one) for one in found], captions, columns=3, width=_PHOTO_WIDTH)


def _side_by_side(one: PhotoFace) -> npt.NDArray[np.uint8]:
    """The photo and, right of it on white, its crop."""
    height, width = one.photo.shape[:2]
    side = max(_CROP_SIDE, min(height, width) // 2)
    sheet = np.full((max(height, side), width + side + 4, 3), 255, np.uint8)
    sheet[:height, :width] = one.photo
    if one.crop is not None:
        sheet[:side, width + 4 :] = np.asarray(Image.fromarray(one.crop).resize((side, side)))
    return sheet
