from __future__ import annotations

import multiprocessing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from purify.errors import InputError
from purify.storage.files import write_table
from purify.tables.apply import apply_verdicts
from purify.tables.reviews import count_reviews, latest_reviews, merge_reviews, read_reviews, update_reviews
from purify.tables.schema import MANIFEST, REVIEWS, VERDICTS, Decision

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)

Review = tuple[str, str, str | None, int | None]


def reviews_of(rows: list[Review], reviewer: str = "ann") -> pa.Table:
    """Rows of (sample_id, decision, new_label, minutes after noon)."""
    records = [
        {
            "sample_id": sample,
            "decision": decision,
            "new_label": label,
            "reviewer": reviewer,
            "at": None if minutes is None else NOON + timedelta(minutes=minutes),
        }
        for sample, decision, label, minutes in rows
    ]
    return pa.Table.from_pylist(records, schema=REVIEWS)


def test_the_last_review_of_a_sample_holds() -> None:
    history = reviews_of([("a", "drop", None, 1), ("b", "keep", None, 2), ("a", "relabel", "Bo", 3)])
    latest = latest_reviews(history)
    assert latest.select(["sample_id", "decision", "new_label"]).to_pydict() == {
        "sample_id": ["b", "a"],
        "decision": ["keep", "relabel"],
        "new_label": [None, "Bo"],
    }
    assert len(latest_reviews(REVIEWS.empty_table())) == 0


def test_a_merge_is_by_time_and_holds_each_review_once() -> None:
    mine = reviews_of([("a", "drop", None, 1), ("a", "keep", None, 5)])
    theirs = reviews_of([("a", "drop", None, 1), ("a", "relabel", "Bo", 4), ("c", "keep", None, None)])
    merged = merge_reviews(mine, theirs)
    assert merged.schema.equals(REVIEWS, check_metadata=True)
    assert list(zip(merged["sample_id"].to_pylist(), merged["decision"].to_pylist(), strict=True)) == [
        ("c", "keep"),
        ("a", "drop"),
        ("a", "relabel"),
        ("a", "keep"),
    ]
    assert merge_reviews(theirs, mine).equals(merged)


histories = st.lists(
    st.tuples(
        st.sampled_from("abcd"),
        st.sampled_from(["keep", "drop", "review"]),
        st.none(),
        st.one_of(st.none(), st.integers(0, 5)),
    ),
    max_size=20,
)


@given(history=histories)
def test_the_latest_is_what_a_walk_through_the_history_ends_with(history: list[Review]) -> None:
    expected: dict[str, str] = {}
    for sample, decision, _, _ in history:
        expected[sample] = decision
    latest = latest_reviews(reviews_of(history))
    assert dict(zip(latest["sample_id"].to_pylist(), latest["decision"].to_pylist(), strict=True)) == expected


@example(history=[("a", "drop", None, 3), ("b", "keep", None, None), ("a", "keep", None, 3)], cut=0)
@given(history=histories, cut=st.integers(0, 20))
def test_a_history_merged_with_parts_of_itself_stays(history: list[Review], cut: int) -> None:
    whole = merge_reviews(reviews_of(history))
    assert merge_reviews(whole, whole.slice(0, cut)).equals(whole)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"sample_id": "a", "decision": "accept"}], "a: unknown decision accept; expected one of keep, drop"),
        ([{"sample_id": "a", "decision": "relabel"}], "a: relabel without a new_label"),
        ([{"sample_id": "a", "decision": "relabel", "new_label": " "}], "a: relabel without a new_label"),
        ([{"sample_id": None, "decision": "keep"}], "row 1: sample_id is missing"),
        ([{"sample_id": "a", "decision": "keep", "at": "noon"}], "column 'at' is"),
        ([{"sample_id": "a"}], "missing column decision"),
    ],
)
def test_reviews_that_can_not_be_followed(tmp_path: Path, rows: list[dict[str, Any]], message: str) -> None:
    path = tmp_path / "reviews.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    with pytest.raises(InputError, match=message) as caught:
        read_reviews(path)
    assert str(path) in str(caught.value)


def test_another_table_is_refused(tmp_path: Path) -> None:
    write_table(VERDICTS.empty_table(), tmp_path / "v.parquet")
    with pytest.raises(InputError, match="holds verdicts/1, expected reviews/1"):
        read_reviews(tmp_path / "v.parquet")


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_a_table_of_pandas_is_read(tmp_path: Path, unit: str, zone: str | None) -> None:
    times = pd.to_datetime(["2026-01-02T12:00:00", "2026-01-02T11:00:00.000000001"], format="ISO8601")
    at = pd.Series(times).dt.tz_localize(zone)
    frame = pd.DataFrame({"sample_id": ["a", "b"], "decision": ["keep", "drop"], "at": at.dt.as_unit(unit)})
    frame.to_parquet(tmp_path / "reviews.parquet")
    reviews = read_reviews(tmp_path / "reviews.parquet")
    assert reviews.schema.equals(REVIEWS, check_metadata=True)
    assert reviews["sample_id"].to_pylist() == ["b", "a"]
    hour = 11 if zone == "Europe/Berlin" else 12
    assert reviews["at"].to_pylist()[1] == datetime(2026, 1, 2, hour, tzinfo=UTC)


def _append(path: Path, number: int) -> None:
    for i in range(10):
        one = reviews_of([(f"{number}-{i}", "keep", None, i)])
        update_reviews(path, lambda present, one=one: merge_reviews(present, one))  # type: ignore[misc]


def test_processes_that_update_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run" / "reviews.parquet"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_append, args=(path, number)) for number in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert len(read_reviews(path)["sample_id"].unique()) == 20


def _tables(judged: list[tuple[str, str, Decision]]) -> tuple[pa.Table, pa.Table]:
    manifest = [{"sample_id": i, "label": label, "status": "ok"} for i, label, _ in judged]
    verdicts = [
        {"sample_id": i, "label": label, "decision": decision.value, "angle": 1.5, "reason": "near_dominant",
         "new_label": "A" if decision is Decision.RELABEL else None, "rule": "r/1"}
        for i, label, decision in judged
    ]  # fmt: skip
    gone = [{"sample_id": "broken", "label": "A", "status": "unreadable"}]
    return pa.Table.from_pylist(manifest + gone, schema=MANIFEST), pa.Table.from_pylist(verdicts, schema=VERDICTS)


def test_a_review_overrides_the_verdict() -> None:
    manifest, verdicts = _tables(
        [("1", "A", Decision.DROP), ("2", "A", Decision.KEEP), ("3", "B", Decision.RELABEL), ("4", "B", Decision.KEEP),
         ("5", "B", Decision.REVIEW)]
    )  # fmt: skip
    reviews = reviews_of(
        [("1", "keep", None, 0), ("2", "drop", None, 1), ("3", "keep", None, 2), ("4", "relabel", "new", 3),
         ("gone", "drop", None, 4), ("broken", "keep", None, 5)]
    )  # fmt: skip
    purified = apply_verdicts(manifest, verdicts, reviews)
    assert purified.cleaned.select(["sample_id", "label", "given_label", "label_id"]).to_pydict() == {
        "sample_id": ["1", "3", "4"],
        "label": ["A", "B", "new"],
        "given_label": ["A", "B", "B"],
        "label_id": [0, 1, 2],
    }
    assert purified.removed.select(["sample_id", "decision", "new_label", "reason", "angle"]).to_pydict() == {
        "sample_id": ["2", "5"],
        "decision": ["drop", "review"],
        "new_label": [None, None],
        "reason": ["reviewed", "near_dominant"],
        "angle": [1.5, 1.5],
    }
    assert purified.labels["label"].to_pylist() == ["A", "B", "new"]
    ok = manifest.filter(pa.compute.equal(manifest["status"], "ok"))["sample_id"]
    assert count_reviews(reviews, ok) == {"reviewed": 4, "reviews_ignored": 2}


@given(
    judged=st.lists(st.sampled_from(list(Decision)), max_size=12),
    reviewed=st.lists(st.tuples(st.integers(0, 15), st.sampled_from(list(Decision))), max_size=20),
)
def test_rows_add_up_whatever_is_reviewed(judged: list[Decision], reviewed: list[tuple[int, Decision]]) -> None:
    manifest, verdicts = _tables([(str(i), "B", decision) for i, decision in enumerate(judged)])
    history = reviews_of([(str(i), d.value, "C" if d == "relabel" else None, n) for n, (i, d) in enumerate(reviewed)])
    purified = apply_verdicts(manifest, verdicts, history)
    decisions = {str(i): d for i, d in enumerate(judged)} | {str(i): d for i, d in reviewed if i < len(judged)}
    kept = {Decision.KEEP, Decision.RELABEL}
    assert purified.cleaned["sample_id"].to_pylist() == [
        i for i in map(str, range(len(judged))) if decisions[i] in kept
    ]
    assert len(purified.cleaned) + len(purified.removed) + 1 == len(manifest)
    assert dict(purified.removed.select(["sample_id", "decision"]).to_pandas().itertuples(index=False)) == {
        i: d.value for i, d in decisions.items() if d not in kept
    }
    counts = count_reviews(history, verdicts["sample_id"])
    assert sum(counts.values()) == len({i for i, _ in reviewed})


def test_a_review_that_can_not_be_followed_is_refused() -> None:
    manifest, verdicts = _tables([("1", "A", Decision.DROP)])
    with pytest.raises(InputError, match="reviews: 1: relabel without a new_label"):
        apply_verdicts(manifest, verdicts, reviews_of([("1", "relabel", None, 0)]))
