"""Faces of the report: inline thumbnails with their verdicts."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from purify.errors import PurifyError
from purify.images.decoding import decode_rgb
from purify.images.loading import resolve_workers
from purify.report.canvas import data_url
from purify.storage.image_bytes import ImageByteReader
from purify.tables.apply import judged_rows

_SIDE = 96
_QUALITY = 78
_AS_JUDGED = ("sample_id", "label", "p_clean", "decision", "reason", "new_label", "other_label", "angle_other")


@dataclass(frozen=True)
class Face:
    """A thumbnail (a data URL; empty: unavailable) and its verdict.

    `angle` is in degrees, to the label's dominant sub-center; `truth` is the true label, ``""`` for nobody in the set,
    None: not known, or equal to the given one. The other fields are as in the verdicts.
    """

    picture: str
    sample_id: str
    label: str
    angle: float | None
    p_clean: float | None
    decision: str
    reason: str
    new_label: str | None
    other_label: str | None
    angle_other: float | None
    truth: str | None


def face_sheets(manifest: pa.Table, sheets: Mapping[str, pa.Table], *, or_text: bool = False) -> dict[str, list[Face]]:
    """Faces of each sheet's verdicts, except those whose image is unavailable. No image is read twice.

    With `or_text`, faces come without pictures if no image at all is available.
    """
    ids = {sample_id for verdicts in sheets.values() for sample_id in verdicts["sample_id"].to_pylist()}
    pictures = _pictures(manifest, sorted(ids))
    if or_text and not pictures:
        pictures = dict.fromkeys(ids, "")
    return {name: _faces(manifest, verdicts, pictures) for name, verdicts in sheets.items()}


def read_faces(
    manifest: pa.Table, sample_ids: Sequence[str], *, side: int = _SIDE
) -> list[npt.NDArray[np.uint8] | None]:
    """RGB ``[side, side, 3]`` of each sample; None if unavailable."""
    place = pc.index_in(pa.array(sample_ids, pa.string()), manifest["sample_id"].combine_chunks())
    uris = manifest["uri"].combine_chunks().take(place).to_pylist()
    with ImageByteReader() as reader, ThreadPoolExecutor(resolve_workers(0)) as pool:
        return list(pool.map(partial(read_face, reader, side), uris))


def _pictures(manifest: pa.Table, sample_ids: Sequence[str]) -> dict[str, str]:
    """Data URL of each sample with an available image."""
    faces = read_faces(manifest, sample_ids)
    return {name: _jpeg_url(face) for name, face in zip(sample_ids, faces, strict=True) if face is not None}


def _faces(manifest: pa.Table, verdicts: pa.Table, pictures: Mapping[str, str]) -> list[Face]:
    truths: Iterable[str | None] = judged_rows(manifest, verdicts)["true_label"].to_pylist()
    return [
        Face(
            picture=pictures[verdict["sample_id"]],
            angle=verdict["angle_dominant"],
            truth=truth if truth != verdict["label"] else None,
            **{name: verdict[name] for name in _AS_JUDGED},
        )
        for verdict, truth in zip(verdicts.to_pylist(), truths, strict=True)
        if verdict["sample_id"] in pictures
    ]


def read_face(reader: ImageByteReader, side: int, uri: str | None) -> npt.NDArray[np.uint8] | None:
    """RGB ``[side, side, 3]`` of the image at `uri`, decoded and cropped as in training; None if unavailable."""
    if uri is None:
        return None
    try:
        return decode_rgb(reader.read(uri), side)
    except (PurifyError, OSError, ValueError):
        return None


def jpeg_bytes(face: npt.NDArray[np.uint8], *, quality: int) -> bytes:
    """A JPEG file of the pixels."""
    buffer = io.BytesIO()
    Image.fromarray(face).save(buffer, format="JPEG", quality=quality)
    return buffer.getvalue()


def _jpeg_url(face: npt.NDArray[np.uint8]) -> str:
    return data_url(jpeg_bytes(face, quality=_QUALITY), "jpeg")
