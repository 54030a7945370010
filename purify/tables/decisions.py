"""Validation of the decisions in a table of verdicts or reviews."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from purify.errors import InputError
from purify.tables.schema import Decision
from purify.tables.user_tables import first_row


def check_decisions(source: str, table: pa.Table) -> None:
    """InputError unless each ``decision`` is a `Decision`, and each relabel comes with a ``new_label``.

    `source` names the table in the message; its rows are named by ``sample_id``.
    """
    known = pc.is_in(table["decision"], pa.array([decision.value for decision in Decision]))
    if row := first_row(pc.invert(known)):
        raise InputError(
            f"{source}: {table['sample_id'][row - 1]}: unknown decision {table['decision'][row - 1]}; "
            f"expected one of {', '.join(Decision)}"
        )
    nameless = pc.equal(pc.utf8_trim_whitespace(pc.fill_null(table["new_label"], "")), "")
    relabeled = pc.equal(table["decision"], Decision.RELABEL.value)
    if row := first_row(pc.and_(relabeled, nameless)):
        raise InputError(f"{source}: {table['sample_id'][row - 1]}: relabel without a new_label; give one")
