"""Reconstructed faces of a run's labels, beside the real members of the same sub-centers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from purify.report.canvas import data_url
from purify.report.face_selection import ordered
from purify.report.label_inspection import at_subcenter
from purify.report.reconstructions import TABLE
from purify.report.run_tables import RunTables
from purify.report.thumbnails import Face, face_sheets
from purify.storage.files import read_table, readable
from purify.storage.run_folder import RunFolder
from purify.tables.schema import INVERSIONS

_MEMBERS = 6


@dataclass(frozen=True)
class ReconstructedFace:
    """An image made from the network, and the real images of the same sub-center.

    Attributes
    ----------
    label, subcenter
        What it stands for; no sub-center for the face of a whole label.
    images
        Number of the label's images nearest to the sub-center.
    dominant
        Whether the label's verdicts rest on it.
    cosine
        Of the image to its target, in the network that made it.
    png
        Its file, as a data URL.
    members
        Verdicts of the real images, the nearest to the dominant sub-center first.
    """

    label: str
    subcenter: int | None
    images: int
    dominant: bool
    cosine: float
    png: str
    members: pa.Table


def reconstructed_faces(folder: Path | str, run: RunTables, label: str | None = None) -> list[ReconstructedFace]:
    """The reconstructed faces of a run, or of one `label`; none if its flow made none (``invert.enabled``)."""
    place = RunFolder(Path(folder)).inversions
    if not (place / TABLE).is_file():
        return []
    table = read_table(place / TABLE, INVERSIONS)
    rows = [row for row in table.to_pylist() if label is None or row["label"] == label]
    return [_face(place, run, row) for row in rows if row["label"] is not None and (place / row["path"]).is_file()]


def _face(place: Path, run: RunTables, row: Mapping[str, Any]) -> ReconstructedFace:
    own = ordered(run.verdicts.filter(pc.equal(run.verdicts["label"], row["label"])), "angle_dominant")
    split = row["kind"] == "subcenter"
    members = at_subcenter(own, row["subcenter"]) if split else own
    with readable(place / row["path"]):
        content = (place / row["path"]).read_bytes()
    return ReconstructedFace(
        label=row["label"],
        subcenter=row["subcenter"] if split else None,
        images=len(members),
        dominant=not split or row["subcenter"] == _dominant(own),
        cosine=row["cosine"],
        png=data_url(content, "png"),
        members=members,
    )


def _dominant(own: pa.Table) -> int | None:
    known = own["dominant"].drop_null()
    return known[0].as_py() if len(known) else None


def faces_with_members(folder: Path | str, run: RunTables) -> list[dict[str, Any]]:
    """A row per label for the report: its reconstructed faces, each with a few real ones."""
    found = reconstructed_faces(folder, run)
    sheets = {str(number): face.members.slice(0, _MEMBERS) for number, face in enumerate(found)}
    real: Mapping[str, Sequence[Face]] = face_sheets(run.manifest, sheets)
    rows: dict[str, list[dict[str, Any]]] = {}
    for number, face in enumerate(found):
        rows.setdefault(face.label, []).append({"face": face, "members": real[str(number)]})
    return [{"label": label, "faces": faces} for label, faces in rows.items()]
