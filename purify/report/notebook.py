"""What the notebooks share: which run they look at, faces as figures, rows as frames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from matplotlib.figure import Figure

from purify.errors import InputError
from purify.report.demo_run import small_demo_run
from purify.report.figures import contact_sheet
from purify.report.run_tables import RunTables
from purify.report.thumbnails import read_faces
from purify.storage.run_folder import RunFolder

_PLACES = (Path("runs"), Path("../runs"))
_SMALL = "demo-small"


def run_to_look_at(named: str | None) -> Path:
    """Folder of the run that is `named`; without a name the newest demo run in ``runs``, or a small one made there.

    The small one takes about 15 seconds, once (`small_demo_run`).

    Raises
    ------
    InputError
        If the folder that is named holds no verdicts.
    """
    if named:
        if not RunFolder(Path(named)).verdicts.exists():
            raise InputError(f"{named}: holds no verdicts, so it is no run, or not a finished one")
        return Path(named)
    found = [path.parent for place in _PLACES for path in place.glob("demo-*/run.json")]
    finished = [path for path in found if RunFolder(path).verdicts.exists()]
    if finished:
        return max(finished, key=lambda path: (path / "run.json").stat().st_mtime)
    place = next((place for place in _PLACES if place.is_dir()), _PLACES[-1])
    return small_demo_run(place / _SMALL).root


def frame(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as a notebook shows them."""
    return pd.DataFrame(list(rows)).round(3)


def face_figure(run: RunTables, verdicts: pa.Table, *, most: int = 8, angles: str = "angle_dominant") -> Figure:
    """The first `most` of the `verdicts` as faces, with the column `angles` and the decision below each."""
    shown = verdicts.slice(0, most)
    faces = read_faces(run.manifest, shown["sample_id"].to_pylist())
    below = zip(shown[angles].to_pylist(), shown["decision"].to_pylist(), strict=True)
    lines = [decision if angle is None else f"{angle:.0f}\u00b0 {decision}" for angle, decision in below]
    there = [(face, line) for face, line in zip(faces, lines, strict=True) if face is not None]
    return contact_sheet([face for face, _ in there], [line for _, line in there])
