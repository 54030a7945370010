from __future__ import annotations

import pyarrow as pa
import pytest

from purify.errors import InputError
from purify.tables.decisions import check_decisions
from purify.tables.near_duplicates import drop_samples, near_duplicates


def _reviews(*rows: tuple[str, str, str | None]) -> pa.Table:
    return pa.table(
        [pa.array(column, pa.string()) for column in zip(*rows, strict=True)], ["sample_id", "decision", "new_label"]
    )


def test_decisions_of_every_kind_are_taken() -> None:
    check_decisions(
        "t", _reviews(("a", "keep", None), ("b", "drop", ""), ("c", "relabel", "Ann"), ("d", "review", None))
    )


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("a", "keep", None), ("b", "Keep", None)], "t: b: unknown decision Keep; expected one of keep"),
        ([("a", "relabel", None)], "t: a: relabel without a new_label; give one"),
        ([("a", "keep", None), ("b", "relabel", " \t")], "t: b: relabel without"),
    ],
)
def test_others_are_refused_by_the_row(rows: list[tuple[str, str, str | None]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_decisions("t", _reviews(*rows))


def test_kept_near_duplicates_are_dropped_and_keep_their_evidence() -> None:
    verdicts = pa.table(
        {
            "sample_id": ["a", "b", "c", "d"],
            "decision": ["keep", "drop", "keep", "keep"],
            "reason": ["near_duplicate_of", "near_duplicate_of", "near_dominant", "near_duplicate_of"],
            "evidence_ids": [["x", "y"], ["x"], ["x"], []],
        }
    )
    assert near_duplicates(verdicts) == [("a", "x")]
    dropped = drop_samples(verdicts, ["a", "c"])
    assert dropped["decision"].to_pylist() == ["drop", "drop", "drop", "keep"]
    assert dropped.drop_columns(["decision"]) == verdicts.drop_columns(["decision"])
    assert dropped.schema == verdicts.schema
