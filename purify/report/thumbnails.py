"""Faces of the report: thumbnails inside the page, and what is said of each."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from PIL import Image

from purify.errors import PurifyError
from purify.manifest.blobs import BlobReader
from purify.manifest.decode import decode_rgb
from purify.manifest.schema import Reason
from purify.report.figures import data_url
from purify.report.tables import judged_rows

_SIDE = 96
_QUALITY = 78
#: Reasons that are better told by the nearest other label.
_BESIDE_OTHER = {Reason.CLOSER_TO_OTHER_LABEL: "closer to", Reason.NEAR_DOMINANT: "next"}


@dataclass(frozen=True)
class Face:
    """A thumbnail.

    Attributes
    ----------
    picture
        A data URL.
    label
        The given label.
    caption
        Angle and reason.
    truth
        What the label should have been, ``""`` for nobody in the set; None: not known, or as given.
    """

    picture: str
    label: str
    caption: str
    truth: str | None


def faces(manifest: pa.Table, verdicts: pa.Table) -> list[Face]:
    """A face for each of the verdicts; those whose image is not at hand are left out."""
    rows = judged_rows(manifest, verdicts)
    found = []
    with BlobReader() as reader:
        for verdict, uri, truth in zip(
            verdicts.to_pylist(), rows["uri"].to_pylist(), rows["true_label"].to_pylist(), strict=True
        ):
            if uri is not None and (picture := _thumbnail(reader, uri)):
                wrong = truth is not None and truth != verdict["label"]
                found.append(Face(picture, verdict["label"], _caption(verdict), truth if wrong else None))
    return found


def _caption(verdict: Mapping[str, Any]) -> str:
    reason = verdict["reason"].replace("_", " ")
    if verdict["other_label"] is not None and verdict["reason"] in _BESIDE_OTHER:
        words = _BESIDE_OTHER[verdict["reason"]]
        reason = f"{words} {verdict['other_label']} ({_angle(verdict['angle_other'])})"
    return f"{_angle(verdict['angle_dominant'])}, {reason}"


def _angle(degrees: float | None) -> str:
    # A tenth shows on which side of the threshold it lies.
    return "no angle" if degrees is None else f"{degrees:.1f}\u00b0"


def _thumbnail(reader: BlobReader, uri: str) -> str | None:
    try:
        pixels = decode_rgb(reader.read(uri), _SIDE)
    except (PurifyError, OSError, ValueError):
        return None
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=_QUALITY)
    return data_url(buffer.getvalue(), "jpeg")
