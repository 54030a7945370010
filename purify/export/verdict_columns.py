"""Verdicts on the rows of an export: from the table itself, a file, or the run that the table is part of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from purify.errors import InputError
from purify.export.selection import EVIDENCE, Selection
from purify.storage.files import read_table
from purify.storage.locations import Location
from purify.storage.run_folder import RunFolder
from purify.tables.reviews import override_verdicts, read_reviews
from purify.tables.schema import VERDICTS

#: Name of verdicts that lie beside a table.
_BESIDE = "verdicts.parquet"


def with_verdicts(selection: Selection, table: Location, given: Location | None) -> Selection:
    """The selection with the verdicts of the file `given`, else those in `table`, else those of its run.

    Without any, the selection as it is. Reviews of the run override its verdicts. InputError if the file judges none
    of the rows.
    """
    if given is None and selection.rows["decision"].null_count < len(selection.rows):
        return selection  # a removed table
    place = given or _of_run(table)
    if place is None:
        return selection
    verdicts = read_table(place, VERDICTS, columns=["sample_id", *EVIDENCE.names])
    if given is None and isinstance(table, Path) and (reviews := RunFolder(table.parent).given_reviews):
        verdicts = override_verdicts(verdicts, read_reviews(reviews))
    position = pc.index_in(selection.rows["sample_id"], verdicts["sample_id"].combine_chunks())
    if position.null_count == len(position):
        raise InputError(f"{place}: judges none of the rows of {table}; give the verdicts on this table")
    missing = position.null_count
    judged = replace(selection, rows=_replaced(selection.rows, verdicts.take(position), EVIDENCE.names))
    return judged.noting(f"{missing} rows have no verdict in {place}" if missing else "")


def require_verdicts(table: Location, selection: Selection, form: str) -> None:
    """InputError if no row of the selection has a verdict."""
    if selection.rows["decision"].null_count == len(selection.rows):
        raise InputError(f"{table}: {form} shows verdicts, and none were found beside the table; give --verdicts FILE")


def _of_run(table: Location) -> Path | None:
    """The verdicts of the run that a local table lies in, if any."""
    if not isinstance(table, Path):
        return None
    run = RunFolder(table.parent)
    return next((path for path in (run.verdicts, run.root / _BESIDE) if path.is_file()), None)


def _replaced(rows: pa.Table, others: pa.Table, names: Sequence[str]) -> pa.Table:
    columns = [(others if name in names else rows)[name] for name in rows.column_names]
    return pa.table(columns, schema=rows.schema)
