"""A set as published: the rows that a method is surest are wrong, and contact sheets of their faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes

from benchmarks.rivals import Scores
from benchmarks.scenarios import Scenario
from purify.arrays import Floats, Ids, Mask
from purify.report.canvas import grid, plain_text, png_bytes, style
from purify.report.shown_images import with_images
from purify.report.thumbnails import read_faces
from purify.storage.locations import Location

_SUREST = 40
_COLUMNS = 4
_SIDE = 112
#: The pictures of a row, left to right.
_FACES = ("sample_id", "mate", "evidence")


def surest(scenario: Scenario, scores: Scores) -> list[dict[str, Any]]:
    """The 40 rows that are most likely wrong by `scores`, those not kept first.

    ``proposed`` is the label that the method would give, else that of the nearest image under another label;
    ``evidence`` is the nearest image under it, ``mate`` the nearest other one under the given label (None: alone).
    """
    order = np.lexsort((scores.trust, ~scores.removed))[:_SUREST]
    return [_finding(scenario, scores, int(row)) for row in order]


def _finding(scenario: Scenario, scores: Scores, row: int) -> dict[str, Any]:
    labels, names = scenario.data.label_index, scenario.class_labels
    cosines = (scenario.data.vectors @ scenario.data.vectors[row]).astype(np.float64)
    ids = scenario.manifest["sample_id"]
    asked = -1 if scores.suggested is None else int(scores.suggested[row])
    evidence = _nearest(cosines, labels == asked if asked >= 0 else labels != labels[row])
    own = labels == labels[row]
    own[row] = False
    mate = _nearest(cosines, own)
    return {
        "sample_id": ids[row].as_py(),
        "label": names[labels[row]],
        "images": int(own.sum()) + 1,
        "trust": float(scores.trust[row]),
        "kept": not bool(scores.removed[row]),
        "proposed": None if evidence is None else names[labels[evidence]],
        "relabel": asked >= 0,
        "mate": None if mate is None else ids[mate].as_py(),
        "evidence": None if evidence is None else ids[evidence].as_py(),
        "cosines": [None if at is None else round(float(cosines[at]), 3) for at in (mate, evidence)],
    }


def _nearest(cosines: Floats, among: Mask) -> int | None:
    rows: Ids = np.flatnonzero(among)
    return int(rows[cosines[rows].argmax()]) if len(rows) else None


def contact_sheet(findings: Sequence[Mapping[str, Any]], manifest: pa.Table, images: Location) -> bytes:
    """A PNG: each finding's face, its nearest mate and the evidence, with both labels.

    Raises
    ------
    InputError
        If `images`, a folder or an uncompressed tar, can't be read or has none of the `manifest`.
    """
    ids = sorted({finding[key] for finding in findings for key in _FACES if finding[key] is not None})
    faces = dict(zip(ids, read_faces(with_images(manifest, [images]), ids, side=_SIDE), strict=True))
    with style():
        figure, places = grid(len(findings), columns=_COLUMNS, width=3.4, height=1.75)
        for axes, finding in zip(places, findings, strict=True):
            _draw(axes, finding, [faces.get(finding[key]) for key in _FACES])
        return png_bytes(figure)


def _draw(axes: Axes, finding: Mapping[str, Any], faces: Sequence[Any]) -> None:
    blank = np.full((_SIDE, _SIDE, 3), 235, np.uint8)
    axes.imshow(np.hstack([blank if face is None else face for face in faces]))
    axes.set_axis_off()
    verb = "relabel to" if finding["relabel"] else "nearest other"
    fate = "kept" if finding["kept"] else "not kept"
    title = (
        f"{plain_text(finding['label'])} ({finding['images']} images)\n"
        f"{verb}: {plain_text(finding['proposed'] or '-')}\n{fate}, {finding['trust']:.3f}"
    )
    axes.set_title(title, fontsize=7, loc="left")
