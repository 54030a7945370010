"""The contact sheet of a diff: faces on which two lists, or a list and our verdicts, disagree."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from purify.report.canvas import png_bytes
from purify.report.figures import contact_sheet
from purify.report.thumbnails import read_faces
from purify.tables.decision_diff import Difference, most_telling

_MOST = 24
_COLUMNS = 8
_TITLES: Mapping[Difference, str] = {
    Difference.ONLY_A_KEEPS: "Kept by A, not by B",
    Difference.ONLY_B_KEEPS: "Kept by B, not by A",
    Difference.OTHER_LABEL: "Kept by both under different labels",
}


def disagreement_sheet(manifest: pa.Table, differences: pa.Table) -> tuple[bytes, int]:
    """PNG with up to 24 faces of each kind of `differences`, and the number of these whose image is unavailable."""
    parts, lost = [], 0
    for kind, title in _TITLES.items():
        rows = most_telling(differences, kind, most=_MOST)
        faces = read_faces(manifest, [row["sample_id"] or "" for row in rows])
        shown = [(face, _caption(row)) for face, row in zip(faces, rows, strict=True) if face is not None]
        lost += len(rows) - len(shown)
        if not (count := len(shown)):
            continue
        total = pc.sum(pc.equal(differences["difference"], kind.value)).as_py()
        shown += [(np.full_like(shown[0][0], 255), "")] * (_COLUMNS - len(shown))  # the title needs a whole row
        pictures, captions = zip(*shown, strict=True)
        figure = contact_sheet(pictures, captions, columns=_COLUMNS, title=f"{title} ({count} of {total:,})")
        parts.append(Image.open(io.BytesIO(png_bytes(figure))).convert("RGB"))
    return _stacked(parts), lost


def _caption(row: Mapping[str, str | None]) -> str:
    """The given label, and the new one if an image is kept under another."""
    given = row["label"] or ""
    changed = [name for name in (row["label_a"], row["label_b"]) if name not in (None, given)]
    return "\n".join([given, *(f"\u2192 {name}" for name in dict.fromkeys(changed))])


def _stacked(parts: list[Image.Image]) -> bytes:
    """Pictures below each other as PNG, left-aligned on white; a single white pixel without any."""
    size = (max((part.width for part in parts), default=1), sum(part.height for part in parts) or 1)
    sheet = Image.new("RGB", size, "white")
    top = 0
    for part in parts:
        sheet.paste(part, (0, top))
        top += part.height
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG")
    return buffer.getvalue()
