"""Tables of what two sets share, and of what is dropped from one of them for it. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from purify.tables.schema import OVERLAP_DROPPED, OverlapReason


@dataclass(frozen=True)
class Shared:
    """What two sets share: `people` (schema `SHARED_PEOPLE`) and `pictures` (schema `SHARED_PICTURES`)."""

    people: pa.Table
    pictures: pa.Table


@dataclass(frozen=True)
class Separated:
    """A set without what it shares: `kept` rows as they were, and `dropped` (schema `OVERLAP_DROPPED`)."""

    kept: pa.Table
    dropped: pa.Table


def drop_shared(table: pa.Table, shared: Shared, side: str) -> Separated:
    """Drop the shared people and pictures from `table`, a set's rows of ``sample_id`` and ``label``.

    `side` is ``a`` or ``b``. A column ``label_id`` is numbered anew. kept + dropped = all rows.
    """
    other = "b" if side == "a" else "a"
    people = _first(shared.people, f"label_{side}")
    pictures = _first(shared.pictures.sort_by([("cosine", "descending")]), f"sample_id_{side}")
    dropped: list[dict[str, Any]] = []
    for sample_id, label in zip(table["sample_id"].to_pylist(), table["label"].to_pylist(), strict=True):
        row: dict[str, Any] = {"sample_id": sample_id, "label": label}
        if (person := people.get(label)) is not None:
            reason, evidence = OverlapReason.SHARED_PERSON, person[f"evidence_{other}"]
            dropped.append(row | _because(reason, person[f"label_{other}"], evidence))
        elif (picture := pictures.get(sample_id)) is not None:
            reason = OverlapReason.SHARED_PICTURE if picture["same_picture"] else OverlapReason.SHARED_FACE
            dropped.append(row | _because(reason, picture[f"label_{other}"], [picture[f"sample_id_{other}"]]))
    gone = table_of(dropped, OVERLAP_DROPPED)
    kept = table.filter(pc.invert(pc.is_in(table["sample_id"], gone["sample_id"].combine_chunks())))
    return Separated(_renumbered(kept), gone)


def table_of(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows as a table of `schema`; also without any."""
    return pa.table(_columns(rows, schema), schema=schema)


def _columns(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> dict[str, pa.Array]:
    return {field.name: pa.array([row[field.name] for row in rows], field.type) for field in schema}


def _because(reason: OverlapReason, other_label: str, evidence: Sequence[str]) -> dict[str, Any]:
    return {"reason": reason.value, "other_label": other_label, "evidence_ids": list(evidence)}


def _first(table: pa.Table, key: str) -> dict[str, dict[str, Any]]:
    """The first row of each value of `key`."""
    found: dict[str, dict[str, Any]] = {}
    for row in table.to_pylist():
        found.setdefault(row[key], row)
    return found


def _renumbered(table: pa.Table) -> pa.Table:
    if "label_id" not in table.column_names:
        return table
    names = pa.array(sorted(table["label"].unique().to_pylist()), pa.string())
    place = table.column_names.index("label_id")
    number = pc.index_in(table["label"], names).cast(pa.int32())
    return table.set_column(place, table.schema.field("label_id"), number)
