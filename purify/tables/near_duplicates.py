"""Near duplicates in a table of verdicts: which they are, and their removal."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from purify.tables.schema import Decision, Reason


def near_duplicates(verdicts: pa.Table) -> list[tuple[str, str]]:
    """Ids of the kept near duplicates, each with the id of the image that it repeats (schema `VERDICTS`)."""
    marked = pc.and_(
        pc.equal(verdicts["reason"], Reason.NEAR_DUPLICATE_OF.value),
        pc.equal(verdicts["decision"], Decision.KEEP.value),
    )
    rows = verdicts.filter(marked).select(["sample_id", "evidence_ids"]).to_pylist()
    return [(row["sample_id"], row["evidence_ids"][0]) for row in rows if row["evidence_ids"]]


def drop_samples(verdicts: pa.Table, sample_ids: Sequence[str]) -> pa.Table:
    """The verdicts with the decision ``drop`` on these samples; reason and evidence stay."""
    dropped = pc.is_in(verdicts["sample_id"], pa.array(sample_ids, pa.string()))
    decision = pc.if_else(dropped, Decision.DROP.value, verdicts["decision"])
    return verdicts.set_column(verdicts.schema.get_field_index("decision"), verdicts.schema.field("decision"), decision)
