from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purify.errors import InputError
from purify.tables.apply import apply_verdicts
from purify.tables.schema import CLEANED, LABELS, MANIFEST, REMOVED, VERDICTS, Decision


def manifest_of(rows: list[tuple[str, str, str]]) -> pa.Table:
    """Rows of (sample_id, label, status)."""
    records = [{"sample_id": i, "label": label, "status": status, "uri": f"file:///{i}"} for i, label, status in rows]
    return pa.Table.from_pylist(records, schema=MANIFEST)


def verdicts_of(rows: list[tuple[str, str, str, str | None]]) -> pa.Table:
    """Rows of (sample_id, label, decision, new_label)."""
    records = [
        {"sample_id": i, "label": label, "decision": decision, "new_label": new, "angle": float(n), "rule": "r/1",
         "reason": "near_dominant", "evidence_ids": [i]}
        for n, (i, label, decision, new) in enumerate(rows)
    ]  # fmt: skip
    return pa.Table.from_pylist(records, schema=VERDICTS)


MANIFEST_ROWS = [("1", "B", "ok"), ("2", "A", "ok"), ("3", "A", "unreadable"), ("4", "C", "ok"), ("5", "A", "ok")]
VERDICT_ROWS: list[tuple[str, str, str, str | None]] = [
    ("5", "A", "drop", None), ("1", "B", "keep", None), ("4", "C", "relabel", "A"), ("2", "A", "review", None)
]  # fmt: skip


def test_a_small_case_by_hand() -> None:
    purified = apply_verdicts(manifest_of(MANIFEST_ROWS), verdicts_of(VERDICT_ROWS))
    assert purified.cleaned.select(["sample_id", "label", "given_label", "label_id", "uri"]).to_pydict() == {
        "sample_id": ["1", "4"],
        "label": ["B", "A"],
        "given_label": ["B", "C"],
        "label_id": [1, 0],
        "uri": ["file:///1", "file:///4"],
    }
    assert purified.removed.select(["sample_id", "label", "decision", "angle", "evidence_ids"]).to_pydict() == {
        "sample_id": ["2", "5"],
        "label": ["A", "A"],
        "decision": ["review", "drop"],
        "angle": [3.0, 0.0],
        "evidence_ids": [["2"], ["5"]],
    }
    assert purified.labels.to_pydict() == {
        "label": ["A", "B", "C"],
        "new_label": ["A", "B", None],
        "label_id": [0, 1, None],
        "n": [2, 1, 1],
        "n_kept": [1, 1, 0],
    }


samples = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "é", "A", "ab"]),
        st.sampled_from(["ok", "ok", "ok", "unreadable", "too_small"]),
        st.sampled_from(list(Decision)),
        st.sampled_from(["a", "b", "new"]),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(samples=samples, order=st.randoms(use_true_random=False))
def test_rows_add_up_and_labels_are_contiguous(samples: list[tuple[str, str, Decision, str]], order: Any) -> None:
    rows = [(f"s{i}", label, status) for i, (label, status, _, _) in enumerate(samples)]
    judged = [
        (f"s{i}", label, decision.value, new if decision is Decision.RELABEL else None)
        for i, (label, status, decision, new) in enumerate(samples)
        if status == "ok"
    ]
    shuffled = list(judged)
    order.shuffle(shuffled)
    manifest = manifest_of(rows)
    purified = apply_verdicts(manifest, verdicts_of(shuffled))
    cleaned, removed, labels = purified.cleaned, purified.removed, purified.labels

    not_ok = [i for i, _, status in rows if status != "ok"]
    ids = cleaned["sample_id"].to_pylist() + removed["sample_id"].to_pylist() + not_ok
    assert sorted(ids) == sorted(i for i, _, _ in rows)
    assert cleaned["sample_id"].to_pylist() == [i for i, _, d, _ in judged if d in ("keep", "relabel")]
    assert removed["sample_id"].to_pylist() == [i for i, _, d, _ in judged if d in ("drop", "review")]

    final = [new or label for _, label, d, new in judged if d in ("keep", "relabel")]
    names = sorted(set(final))
    assert cleaned["label"].to_pylist() == final
    assert cleaned["label_id"].to_pylist() == [names.index(label) for label in final]
    given_labels = dict((i, label) for i, label, _ in rows)
    assert cleaned["given_label"].to_pylist() == [given_labels[i] for i in cleaned["sample_id"].to_pylist()]

    assert labels["label"].to_pylist() == sorted({*(label for _, label, _ in rows), *names})
    by_label = {row["label"]: row for row in labels.to_pylist()}
    assert {name: by_label[name]["label_id"] for name in names} == {name: i for i, name in enumerate(names)}
    assert {label: row["n_kept"] for label, row in by_label.items() if row["n_kept"]} == Counter(final)
    assert {label: row["n"] for label, row in by_label.items() if row["n"]} == Counter(j[1] for j in judged)
    assert all((row["label_id"] is None) == (row["n_kept"] == 0) for row in by_label.values())
    assert cleaned.schema.equals(CLEANED, check_metadata=True)
    assert removed.schema.equals(REMOVED, check_metadata=True)
    assert labels.schema.equals(LABELS, check_metadata=True)


@pytest.mark.parametrize(
    ("verdicts", "message"),
    [
        (VERDICT_ROWS[:-1], "1 ok rows of the manifest have none, such as 2"),
        ([*VERDICT_ROWS, ("9", "A", "keep", None)], "row 5: 9 is not an ok row of the manifest"),
        ([*VERDICT_ROWS, ("3", "A", "keep", None)], "row 5: 3 is not an ok row"),
        ([*VERDICT_ROWS, ("4", "C", "keep", None)], "4 is judged twice"),
        ([("5", "B", "drop", None), *VERDICT_ROWS[1:]], "5 was judged as B, but its label in the manifest is A"),
        ([("5", "A", "remove", None), *VERDICT_ROWS[1:]], "5: unknown decision remove"),
        ([("5", "A", "relabel", None), *VERDICT_ROWS[1:]], "5: relabel without a new_label"),
        ([("5", "A", "relabel", " "), *VERDICT_ROWS[1:]], "5: relabel without a new_label"),
    ],
)
def test_verdicts_that_do_not_match(verdicts: list[tuple[str, str, str, str | None]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        apply_verdicts(manifest_of(MANIFEST_ROWS), verdicts_of(verdicts))


def test_a_new_label_counts_only_with_relabel() -> None:
    verdicts = verdicts_of([("1", "B", "keep", "A")])
    assert apply_verdicts(manifest_of([("1", "B", "ok")]), verdicts).cleaned["label"].to_pylist() == ["B"]


def test_chunked_tables_are_fine() -> None:
    manifest = manifest_of(MANIFEST_ROWS)
    pieces = pa.concat_tables([manifest.slice(0, 2), manifest.slice(2)])
    verdicts = verdicts_of(VERDICT_ROWS)
    judged = pa.concat_tables([verdicts.slice(0, 1), verdicts.slice(1)])
    whole, chunked = apply_verdicts(manifest, verdicts), apply_verdicts(pieces, judged)
    assert whole.cleaned.equals(chunked.cleaned)
    assert whole.removed.equals(chunked.removed)
