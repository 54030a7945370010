"""Differences between two sets of decisions on the same images. Pure functions."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from purify.errors import InputError
from purify.tables.apply import final_labels
from purify.tables.schema import DIFFERENCES, Decision


class Difference(enum.StrEnum):
    """In what two decisions on an image differ."""

    ONLY_A_KEEPS = "only_a_keeps"
    ONLY_B_KEEPS = "only_b_keeps"
    OTHER_LABEL = "other_label"


@dataclass(frozen=True)
class DecisionDiff:
    """``table`` (schema `DIFFERENCES`) has the images with different outcomes; ``counts`` adds up to all images."""

    table: pa.Table
    counts: dict[str, int]


def compare_decisions(a: pa.Table, b: pa.Table) -> DecisionDiff:
    """Compare two tables of verdicts (schema `VERDICTS`) by the label under which each keeps an image.

    Images left to a person are kept by neither. InputError if the tables are on different images.
    """
    place = pc.index_in(a["sample_id"].combine_chunks(), b["sample_id"].combine_chunks())
    if place.null_count or len(a) != len(b):
        missing = a["sample_id"].filter(place.is_null()) if place.null_count else b["sample_id"]
        raise InputError(f"A and B are on different images, such as {missing[0]}; both must be on one manifest")
    b = b.take(place)
    final = [final_labels(side).combine_chunks() for side in (a, b)]
    kept_a, kept_b = (labels.is_valid() for labels in final)
    other = pc.and_(pc.and_(kept_a, kept_b), pc.fill_null(pc.not_equal(*final), False))
    kinds = {
        Difference.ONLY_A_KEEPS: pc.and_(kept_a, pc.invert(kept_b)),
        Difference.ONLY_B_KEEPS: pc.and_(kept_b, pc.invert(kept_a)),
        Difference.OTHER_LABEL: other,
    }
    kind = pc.case_when(pc.make_struct(*kinds.values()), *(pa.scalar(name.value) for name in kinds))
    columns = {"sample_id": a["sample_id"], "label": a["label"], "difference": kind}
    for side, table, labels in (("a", a, final[0]), ("b", b, final[1])):
        columns |= {f"decision_{side}": table["decision"], f"label_{side}": labels, f"reason_{side}": table["reason"]}
    columns["p_clean"] = pc.coalesce(a["p_clean"], b["p_clean"])
    table = pa.table([columns[name] for name in DIFFERENCES.names], schema=DIFFERENCES)
    table = table.filter(kind.is_valid())
    agree = pc.and_(pc.and_(kept_a, kept_b), pc.invert(other))
    counts = {
        "images": len(a),
        "both_keep": _count(agree),
        "both_remove": _count(pc.invert(pc.or_(kept_a, kept_b))),
        **{name.value: _count(mask) for name, mask in kinds.items()},
        "a_keeps": _count(kept_a),
        "b_keeps": _count(kept_b),
    }
    return DecisionDiff(table, counts)


def most_telling(differences: pa.Table, kind: Difference, *, most: int) -> Sequence[dict[str, str | None]]:
    """Up to `most` differences of a kind to show, one label after the other: surely right or surely wrong ones first.

    ``p_clean`` decides where a side has it: kept by B alone with a low one, kept by A alone with a high one.
    """
    rows = differences.filter(pc.equal(differences["difference"], kind.value))
    sign = -1 if kind is Difference.ONLY_A_KEEPS else 1
    seen: dict[str, int] = {}
    ranked = []
    ordered = sorted(rows.to_pylist(), key=lambda row: (_rank(row["p_clean"], sign), row["sample_id"]))
    for row in ordered:
        seen[row["label"]] = seen.get(row["label"], 0) + 1
        ranked.append((seen[row["label"]], row))
    return [row for _, row in sorted(ranked, key=lambda entry: entry[0])[:most]]


def _rank(p_clean: float | None, sign: int) -> float:
    return 0.5 if p_clean is None or p_clean != p_clean else sign * p_clean  # noqa: PLR0124 - NaN differs from itself


def _count(mask: pa.Array) -> int:
    return pc.sum(mask).as_py() or 0


def kept_names(verdicts: pa.Table) -> tuple[list[str], list[str]]:
    """Sample ids and final labels of the kept images, in order."""
    final = final_labels(verdicts)
    kept = final.is_valid()
    return verdicts["sample_id"].filter(kept).to_pylist(), final.filter(kept).to_pylist()


def removed_names(verdicts: pa.Table) -> tuple[list[str], list[str]]:
    """Sample ids and given labels of the dropped images, in order; those left to a person are not among them."""
    dropped = pc.equal(verdicts["decision"], Decision.DROP.value)
    return verdicts["sample_id"].filter(dropped).to_pylist(), verdicts["label"].filter(dropped).to_pylist()
