"""The contact sheets of the report: the faces of every section, read in one go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from purify.report import face_selection
from purify.report.label_findings import by_label
from purify.report.run_tables import RunTables
from purify.report.thumbnails import Face, face_sheets
from purify.tables.schema import Decision

Findings = Sequence[Mapping[str, Any]]
Values = dict[str, Any]

_FACES = 36
_OF_AN_ANGLE = 8
_ANGLE_STEP = 5
_OF_A_GROUP = 10
_OF_A_LABEL = 5
_OF_A_PAIR = 5
_PAIRS = 8

#: Sheets with a section of their own, by id: the selection, a short and a full title.
_SHEETS = {
    "removed": (face_selection.surest_removed, "Removed", "Removed, surest first"),
    "review": (face_selection.least_sure_review, "Left to a person", "Left to a person, least sure first"),
    "relabeled": (face_selection.least_sure_relabeled, "Relabeled", "Relabeled, least sure first"),
    "borderline": (face_selection.borderline, "Borderline", "Borderline: as probably right as wrong"),
    "hard": (face_selection.hardest_kept, "Kept, but hard", "Kept, but hard: farthest from their label's center"),
}
_TOLD_AS_TEXT = (*_SHEETS, "mixed ", "label ", "into ", "same ")


def contact_sheets(
    run: RunTables, *, cards: Findings, mixed: Findings, merges: Findings, confused: Findings, same: Findings
) -> Values:
    """The ``sheets``, the ``strips`` of faces by angle, the five arguments with faces, and whether any is shown."""
    edges = _angle_edges(run.verdicts)
    chosen = {
        **{name: select(run.verdicts, most=_FACES) for name, (select, _, _) in _SHEETS.items()},
        **_chosen_at_angles(run.verdicts, edges),
        **_chosen_of_labels(run.verdicts, cards, merges),
        **_chosen_of_groups(run.verdicts, mixed, confused),
        **{f"same {i}": face_selection.by_ids(run.verdicts, row["ids"]) for i, row in enumerate(same)},
    }
    faces = face_sheets(run.manifest, chosen, or_text=True)
    shown = any(face.picture for sheet in faces.values() for face in sheet)
    if not shown:  # without pictures, list only the samples not covered elsewhere on the page
        faces |= {name: [] for name in faces if not name.startswith(_TOLD_AS_TEXT)}
    return {
        "faces_shown": shown or not any(map(len, chosen.values())),
        "sheets": [
            {"id": name, "short": short, "title": title, "faces": faces[name]}
            for name, (_, short, title) in _SHEETS.items()
        ],
        "strips": _strips(run.verdicts, edges, faces),
        "cards": [
            {**row, "typical": faces[f"typical {i}"], "removed": faces[f"lost {i}"]} for i, row in enumerate(cards)
        ],
        "mixed": [{**row, "groups": _groups(row, i, faces)} for i, row in enumerate(mixed)],
        "merges": [{**row, "small": faces[f"label {i}"], "large": faces[f"into {i}"]} for i, row in enumerate(merges)],
        "same": [{**row, "faces": faces[f"same {i}"]} for i, row in enumerate(same)],
        "confused": [{**row, "faces": faces.get(f"confused {i}", [])} for i, row in enumerate(confused)],
    }


def _chosen_at_angles(verdicts: pa.Table, edges: np.ndarray) -> dict[str, pa.Table]:
    tables = face_selection.at_angles(verdicts, edges, most=_OF_AN_ANGLE)
    return {f"angle {i}": table for i, table in enumerate(tables)}


def _chosen_of_labels(verdicts: pa.Table, cards: Findings, merges: Findings) -> dict[str, pa.Table]:
    chosen = {}
    rows = by_label(verdicts, [row["label"] for row in (*cards, *merges)] + [row["into"] for row in merges])
    own = {label: verdicts.take(pa.array(places)) for label, places in rows.items()}
    for i, row in enumerate(cards):
        chosen[f"typical {i}"] = _typical(own[row["label"]])
        chosen[f"lost {i}"] = _not_kept(own[row["label"]])
    for i, row in enumerate(merges):
        evidence = face_selection.by_ids(verdicts, row["evidence_ids"])
        for side in ("label", "into"):
            chosen[f"{side} {i}"] = _with_typical(evidence, own[row[side]])
    return chosen


def _chosen_of_groups(verdicts: pa.Table, mixed: Findings, confused: Findings) -> dict[str, pa.Table]:
    chosen = {}
    for i, row in enumerate(mixed):
        for k, group in enumerate(row["groups"]):
            chosen[f"mixed {i} {k}"] = face_selection.by_ids(verdicts, _evenly(group, _OF_A_GROUP))
    for i, row in enumerate(confused[:_PAIRS]):
        chosen[f"confused {i}"] = face_selection.of_pair(verdicts, row["label"], row["other"], most=_OF_A_PAIR)
    return chosen


def _groups(row: Mapping[str, Any], i: int, faces: Mapping[str, Sequence[Face]]) -> list[Values]:
    pairs = zip(row["groups"], row["people"], strict=True)
    return [
        {"n": len(group), "people": people, "faces": faces[f"mixed {i} {k}"]} for k, (group, people) in enumerate(pairs)
    ]


def _angle_edges(verdicts: pa.Table) -> np.ndarray:
    """Edges, in steps of whole degrees, that cover the angles of the images."""
    angle = verdicts["angle_dominant"].to_numpy()
    known = angle[np.isfinite(angle)]
    if not len(known):
        return np.empty(0)
    low, high = np.floor(known.min() / _ANGLE_STEP), np.floor(known.max() / _ANGLE_STEP) + 1
    return np.arange(low, high + 1) * _ANGLE_STEP


def _strips(verdicts: pa.Table, edges: np.ndarray, faces: Mapping[str, Sequence[Face]]) -> list[Values]:
    angle = verdicts["angle_dominant"].to_numpy()
    counts = np.histogram(angle[np.isfinite(angle)], edges)[0].tolist() if len(edges) else []
    return [
        {"low": int(edges[i]), "high": int(edges[i + 1]), "n": n, "faces": faces[f"angle {i}"]}
        for i, n in enumerate(counts)
        if faces[f"angle {i}"]
    ]


def _typical(own: pa.Table) -> pa.Table:
    kept = own.filter(pc.equal(own["decision"], Decision.KEEP.value))
    return face_selection.ordered(kept, "angle_dominant").slice(0, _OF_A_LABEL)


def _not_kept(own: pa.Table) -> pa.Table:
    lost = own.filter(pc.not_equal(own["decision"], Decision.KEEP.value))
    return face_selection.ordered(lost, "p_clean").slice(0, _OF_A_LABEL)


def _with_typical(shown: pa.Table, own: pa.Table) -> pa.Table:
    """The `shown` that belong to a label's `own`, then its others, nearest to the dominant sub-center first."""
    names = face_selection.ordered(own, "angle_dominant")["sample_id"].to_pylist()
    first = [name for name in shown["sample_id"].to_pylist() if name in set(names)]
    return face_selection.by_ids(own, list(dict.fromkeys([*first, *names]))[:_OF_A_LABEL])


def _evenly(names: Sequence[str], most: int) -> list[str]:
    return [names[i] for i in face_selection.evenly_spaced(len(names), most)]
