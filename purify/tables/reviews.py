"""Reviews: human decisions on samples, which override all verdicts.

A table of reviews is a history, oldest first: the last review of a sample is in force.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from purify.storage.files import (
    cast_table,
    open_parquet,
    read_columns,
    require_columns,
    require_kind,
    write_table,
)
from purify.storage.locations import Location
from purify.tables.decisions import check_decisions
from purify.tables.schema import REVIEWS, Decision, Reason

_AT = REVIEWS.field("at").type


def read_reviews(path: Location) -> pa.Table:
    """Read a table of reviews (schema `REVIEWS`), oldest first.

    Required are ``sample_id`` and ``decision``, and ``new_label`` for a relabel. Times without a zone are taken as
    UTC; reviews without a time count as the oldest. InputError if the file is missing, damaged, another of the
    project's tables, or has an invalid review.
    """
    with open_parquet(path) as file:
        require_kind(path, file.schema_arrow, REVIEWS)
        present = [name for name in REVIEWS.names if name in file.schema_arrow.names]
        require_columns(path, file.schema_arrow.names, [*dict.fromkeys(["sample_id", "decision", *present])])
        table = read_columns(path, file, present)
    for field in REVIEWS:
        if field.name not in present:
            table = table.append_column(field.name, pa.nulls(len(table), field.type))
    table = cast_table(path, _whole_microseconds(table.select(REVIEWS.names)), REVIEWS)
    check_decisions(str(path), table)
    return _oldest_first(table)


def update_reviews(path: Path, change: Callable[[pa.Table], pa.Table]) -> pa.Table:
    """Apply `change` to the reviews in the file `path` (none if it is missing), save the result, and return it.

    Processes take turns, so no review is lost. On return the reviews are on disk.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        reviews = change(read_reviews(path) if path.exists() else REVIEWS.empty_table())
        write_table(reviews, path, durable=True)
    return reviews


def latest_reviews(reviews: pa.Table) -> pa.Table:
    """The review in force for each sample: the last of its rows, in the order of `reviews`."""
    backwards = reviews.take(pa.array(range(len(reviews) - 1, -1, -1), pa.int64()))["sample_id"].combine_chunks()
    from_end = pc.index_in(backwards.unique(), backwards)
    rows = pc.subtract(pa.scalar(len(reviews) - 1, pa.int32()), from_end)
    return reviews.take(rows.take(pc.sort_indices(rows)))


def merge_reviews(*histories: pa.Table) -> pa.Table:
    """Merge histories (schema `REVIEWS`) into one, oldest first, without repeated rows."""
    together = pa.concat_tables(histories)
    numbered = together.append_column("row", pa.array(range(len(together)), pa.int64()))
    # The order of the groups is undefined; that of their first rows is not.
    first = numbered.group_by(REVIEWS.names).aggregate([("row", "min")])["row_min"].combine_chunks()
    return _oldest_first(together.take(first.take(pc.array_sort_indices(first))).combine_chunks())


def override_verdicts(verdicts: pa.Table, reviews: pa.Table) -> pa.Table:
    """Replace ``decision``, ``new_label`` and ``reason`` of reviewed samples in `verdicts` (schema `VERDICTS`).

    Reviews of other samples have no effect. InputError if a review is invalid.
    """
    check_decisions("reviews", reviews)
    latest = latest_reviews(reviews)
    position = pc.index_in(verdicts["sample_id"].combine_chunks(), latest["sample_id"].combine_chunks())
    reviewed = position.is_valid()
    decided = latest.take(position)
    relabel = pc.fill_null(pc.equal(decided["decision"], Decision.RELABEL.value), False)
    nothing = pa.scalar(None, pa.string())
    replaced = {
        "decision": pc.if_else(reviewed, decided["decision"], verdicts["decision"]),
        "new_label": pc.if_else(reviewed, pc.if_else(relabel, decided["new_label"], nothing), verdicts["new_label"]),
        "reason": pc.if_else(reviewed, Reason.REVIEWED.value, verdicts["reason"]),
    }
    return pa.table([replaced.get(name, verdicts[name]) for name in verdicts.column_names], schema=verdicts.schema)


def count_reviews(reviews: pa.Table, sample_ids: pa.ChunkedArray) -> dict[str, int]:
    """Numbers of `sample_ids` with a review (``reviewed``), and of other reviewed samples (``reviews_ignored``)."""
    reviewed = reviews["sample_id"].unique()
    held = pc.sum(pc.is_in(reviewed, sample_ids.combine_chunks())).as_py() or 0
    return {"reviewed": held, "reviews_ignored": len(reviewed) - held}


def _oldest_first(reviews: pa.Table) -> pa.Table:
    """Sort by time, stably; rows without a time come first."""
    ticks = pc.fill_null(reviews["at"].combine_chunks().cast(pa.int64()), -(1 << 63))
    return reviews.take(pc.array_sort_indices(ticks))


def _whole_microseconds(table: pa.Table) -> pa.Table:
    """Accept times finer than a microsecond, as pandas writes them, and times without a zone."""
    at = table["at"]
    if not pa.types.is_timestamp(at.type):
        return table
    rounded = at.cast(pa.timestamp("us", at.type.tz), safe=False)
    return table.set_column(table.column_names.index("at"), "at", rounded.cast(_AT))
