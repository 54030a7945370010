"""Helpers of the notebooks: faces as figures, rows as data frames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
import pyarrow as pa
from matplotlib.figure import Figure

from purify.report.figures import contact_sheet
from purify.report.run_tables import RunTables
from purify.report.thumbnails import read_faces


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
