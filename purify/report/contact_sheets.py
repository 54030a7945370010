"""The contact sheets of the report: the faces of every section, read in one go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from purify.report import face_selection
from purify.report.label_findings import by_label
from purify.report.run_tables import RunTables
from purify.report.thumbnails import Face, face_sheets
from purify.tables.schema import Decision

_FACES = 36
_OF_AN_ANGLE = 8
_ANGLE_STEP = 5
_OF_A_GROUP = 10
_OF_A_LABEL = 5
_OF_A_PAIR = 5
_PAIRS = 8
_TEXT_SHEETS = ("removed", "review", "relabeled", "borderline", "hard", "mixed ", "label ", "into ")


@dataclass(frozen=True)
class Sheet:
    """A contact sheet with a section of its own, which an empty one has only with `always`."""

    id: str
    short: str
    title: str
    faces: Sequence[Face]
    always: bool = False


def contact_sheets(
    run: RunTables,
    *,
    cards: Sequence[Mapping[str, Any]],
    mixed: Sequence[Mapping[str, Any]],
    merges: Sequence[Mapping[str, Any]],
    confused: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The ``sheets``, the ``strips`` of faces by angle, the four arguments with faces, and whether any is shown."""
    edges = _angle_edges(run.verdicts)
    chosen = {
        **_chosen_by_decision(run.verdicts),
        **_chosen_at_angles(run.verdicts, edges),
        **_chosen_of_labels(run.verdicts, cards, merges),
        **_chosen_of_groups(run.verdicts, mixed, confused),
    }
    faces = face_sheets(run.manifest, chosen, or_text=True)
    shown = any(face.picture for sheet in faces.values() for face in sheet)
    if not shown:  # as text, only what the page says of no other face
        faces |= {name: [] for name in faces if not name.startswith(_TEXT_SHEETS)}
    return {
        "faces_shown": shown or not any(map(len, chosen.values())),
        "sheets": _sheets(faces),
        "strips": _strips(run.verdicts, edges, faces),
        "cards": [
            {**row, "typical": faces[f"typical {i}"], "removed": faces[f"lost {i}"]} for i, row in enumerate(cards)
        ],
        "mixed": [{**row, "groups": _groups(row, i, faces)} for i, row in enumerate(mixed)],
        "merges": [{**row, "small": faces[f"label {i}"], "large": faces[f"into {i}"]} for i, row in enumerate(merges)],
        "confused": [{**row, "faces": faces.get(f"confused {i}", [])} for i, row in enumerate(confused)],
    }


def _chosen_by_decision(verdicts: pa.Table) -> dict[str, pa.Table]:
    return {
        "removed": face_selection.surest_removed(verdicts, most=_FACES),
        "review": face_selection.least_sure_review(verdicts, most=_FACES),
        "relabeled": face_selection.least_sure_relabeled(verdicts, most=_FACES),
        "borderline": face_selection.borderline(verdicts, most=_FACES),
        "hard": face_selection.hardest_kept(verdicts, most=_FACES),
    }


def _chosen_at_angles(verdicts: pa.Table, edges: np.ndarray) -> dict[str, pa.Table]:
    tables = face_selection.at_angles(verdicts, edges, most=_OF_AN_ANGLE)
    return {f"angle {i}": table for i, table in enumerate(tables)}


def _chosen_of_labels(
    verdicts: pa.Table, cards: Sequence[Mapping[str, Any]], merges: Sequence[Mapping[str, Any]]
) -> dict[str, pa.Table]:
    chosen = {}
    rows = by_label(verdicts, [row["label"] for row in (*cards, *merges)] + [row["into"] for row in merges])
    own = {label: verdicts.take(pa.array(places)) for label, places in rows.items()}
    for i, row in enumerate(cards):
        chosen[f"typical {i}"] = _typical(own[row["label"]], _OF_A_LABEL)
        chosen[f"lost {i}"] = _not_kept(own[row["label"]])
    for i, row in enumerate(merges):
        evidence = face_selection.by_ids(verdicts, row["evidence_ids"])
        for side in ("label", "into"):
            chosen[f"{side} {i}"] = _with_typical(evidence, own[row[side]])
    return chosen


def _chosen_of_groups(
    verdicts: pa.Table, mixed: Sequence[Mapping[str, Any]], confused: Sequence[Mapping[str, Any]]
) -> dict[str, pa.Table]:
    chosen = {}
    for i, row in enumerate(mixed):
        for k, group in enumerate(row["groups"]):
            chosen[f"mixed {i} {k}"] = face_selection.by_ids(verdicts, _evenly(group, _OF_A_GROUP))
    for i, row in enumerate(confused[:_PAIRS]):
        chosen[f"confused {i}"] = face_selection.of_pair(verdicts, row["label"], row["other"], most=_OF_A_PAIR)
    return chosen


def _groups(row: Mapping[str, Any], i: int, faces: Mapping[str, Sequence[Face]]) -> list[dict[str, Any]]:
    pairs = zip(row["groups"], row["people"], strict=True)
    return [
        {"n": len(group), "people": people, "faces": faces[f"mixed {i} {k}"]} for k, (group, people) in enumerate(pairs)
    ]


def _sheets(faces: Mapping[str, Sequence[Face]]) -> list[Sheet]:
    return [
        Sheet("removed", "Removed", "Removed, surest first", faces["removed"], always=True),
        Sheet("review", "Left to a person", "Left to a person, least sure first", faces["review"]),
        Sheet("relabeled", "Relabeled", "Relabeled, least sure first", faces["relabeled"]),
        Sheet("borderline", "Borderline", "Borderline: as probably right as wrong", faces["borderline"]),
        Sheet("hard", "Kept, but hard", "Kept, but hard: farthest from their label's center", faces["hard"]),
    ]


def _angle_edges(verdicts: pa.Table) -> np.ndarray:
    """Whole angles in steps that cover the images, from the first that is not empty."""
    angle = verdicts["angle_dominant"].to_numpy()
    known = angle[np.isfinite(angle)]
    if not len(known):
        return np.empty(0)
    low, high = np.floor(known.min() / _ANGLE_STEP), np.floor(known.max() / _ANGLE_STEP) + 1
    return np.arange(low, high + 1) * _ANGLE_STEP


def _strips(verdicts: pa.Table, edges: np.ndarray, faces: Mapping[str, Sequence[Face]]) -> list[dict[str, Any]]:
    angle = verdicts["angle_dominant"].to_numpy()
    counts = np.histogram(angle[np.isfinite(angle)], edges)[0].tolist() if len(edges) else []
    return [
        {"low": int(edges[i]), "high": int(edges[i + 1]), "n": n, "faces": faces[f"angle {i}"]}
        for i, n in enumerate(counts)
        if faces[f"angle {i}"]
    ]


def _typical(own: pa.Table, most: int) -> pa.Table:
    kept = own.filter(pa.array(own["decision"].to_numpy() == Decision.KEEP.value))
    return kept.sort_by([("angle_dominant", "ascending"), ("sample_id", "ascending")]).slice(0, most)


def _not_kept(own: pa.Table) -> pa.Table:
    lost = own.filter(pa.array(own["decision"].to_numpy() != Decision.KEEP.value))
    return lost.sort_by([("p_clean", "ascending"), ("sample_id", "ascending")]).slice(0, _OF_A_LABEL)


def _with_typical(shown: pa.Table, own: pa.Table) -> pa.Table:
    """Those of the `shown` that are of a label's `own`, and others of it, nearest to the dominant sub-center first."""
    names = set(own["sample_id"].to_pylist())
    first = [name for name in shown["sample_id"].to_pylist() if name in names]
    order = own.sort_by([("angle_dominant", "ascending"), ("sample_id", "ascending")])["sample_id"].to_pylist()
    return face_selection.by_ids(own, list(dict.fromkeys([*first, *order]))[:_OF_A_LABEL])


def _evenly(names: Sequence[str], most: int) -> list[str]:
    if len(names) <= most:
        return list(names)
    return [names[i] for i in np.linspace(0, len(names) - 1, most).round().astype(int)]
