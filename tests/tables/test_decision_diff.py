from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from purify.errors import InputError
from purify.tables.decision_diff import Difference, compare_decisions, kept_names, most_telling, removed_names
from purify.tables.schema import VERDICTS

Rows = list[tuple[str, str | None, float | None]]
OUTCOMES = st.sampled_from([("keep", None), ("drop", None), ("review", None), ("relabel", "B"), ("relabel", "C")])


def verdicts_of(rows: Rows) -> pa.Table:
    """Rows of (decision, new_label, p_clean) on the samples 0, 1, ... of the label A."""
    records = [
        {"sample_id": str(i), "label": "A", "decision": decision, "new_label": new, "p_clean": p, "reason": "uncertain",
         "rule": "r/1"}
        for i, (decision, new, p) in enumerate(rows)
    ]  # fmt: skip
    return pa.Table.from_pylist(records, schema=VERDICTS)


def test_a_small_case_by_hand() -> None:
    a = verdicts_of(
        [("keep", None, 0.9), ("keep", None, 0.2), ("drop", None, 0.1), ("relabel", "B", 0.0), ("drop", None, 0)]
    )
    b = verdicts_of(
        [
            ("keep", None, None),
            ("drop", None, None),
            ("keep", None, None),
            ("relabel", "C", None),
            ("review", None, None),
        ]
    )
    diff = compare_decisions(a, b.take([4, 3, 2, 1, 0]))
    assert [
        (row["sample_id"], row["difference"], row["label_a"], row["label_b"]) for row in diff.table.to_pylist()
    ] == [
        ("1", "only_a_keeps", "A", None),
        ("2", "only_b_keeps", None, "A"),
        ("3", "other_label", "B", "C"),
    ]
    assert diff.counts == {
        "images": 5, "both_keep": 1, "both_remove": 1, "only_a_keeps": 1, "only_b_keeps": 1, "other_label": 1,
        "a_keeps": 3, "b_keeps": 3,
    }  # fmt: skip


@given(st.lists(st.tuples(OUTCOMES, OUTCOMES), max_size=20))
def test_the_counts_add_up(pairs: list[tuple[tuple[str, str | None], tuple[str, str | None]]]) -> None:
    a, b = (verdicts_of([(*pair[side], None) for pair in pairs]) for side in (0, 1))
    diff = compare_decisions(a, b)
    kinds = Counter(diff.table["difference"].to_pylist())
    assert {kind.value: diff.counts[kind] for kind in Difference} == {kind.value: kinds[kind] for kind in Difference}
    assert diff.counts["both_keep"] + diff.counts["both_remove"] + len(diff.table) == len(pairs)
    assert compare_decisions(a, a).table.num_rows == 0


def test_other_images_are_refused() -> None:
    with pytest.raises(InputError, match="different images, such as 1"):
        compare_decisions(verdicts_of([("keep", None, None)] * 2), verdicts_of([("keep", None, None)]))


def test_the_surest_disagreements_are_shown_first() -> None:
    a = verdicts_of([("keep", None, 0.6), ("keep", None, 0.9), ("drop", None, 0.4), ("drop", None, 0.01)])
    b = verdicts_of([("drop", None, None)] * 2 + [("keep", None, None)] * 2)
    table = compare_decisions(a, b).table
    assert [row["sample_id"] for row in most_telling(table, Difference.ONLY_A_KEEPS, most=2)] == ["1", "0"]
    assert [row["sample_id"] for row in most_telling(table, Difference.ONLY_B_KEEPS, most=1)] == ["3"]


def test_names_to_list() -> None:
    verdicts = verdicts_of([("keep", None, None), ("relabel", "B", None), ("drop", None, None), ("review", None, None)])
    assert kept_names(verdicts) == (["0", "1"], ["A", "B"])
    assert removed_names(verdicts) == (["2"], ["A"])
