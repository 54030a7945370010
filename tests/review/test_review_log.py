from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purify.review.review_log import Action, ReviewLog, StandingReview
from purify.storage.files import write_table
from purify.tables.reviews import latest_reviews, read_reviews, update_reviews
from purify.tables.schema import REVIEWS, Decision

IDS = pa.array([f"s{i}" for i in range(6)])
KEEP, DROP, RELABEL = Decision.KEEP, Decision.DROP, Decision.RELABEL


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "reviews.parquet"


def _decide(log: ReviewLog, *rows: int, decision: Decision = KEEP, label: str | None = None) -> int:
    (outcome,) = log.record([Action(rows, decision, label, log.version)], tab="1")
    assert outcome.action_id is not None
    return outcome.action_id


def _on_disk(path: Path) -> dict[str, tuple[str, str | None]]:
    rows = latest_reviews(read_reviews(path)).to_pylist()
    return {row["sample_id"]: (row["decision"], row["new_label"]) for row in rows}


def _in_memory(log: ReviewLog) -> dict[str, tuple[str, str | None]]:
    standings = {row: log.standing(row) for row in range(len(IDS))}
    assert [row for row, standing in standings.items() if standing] == log.reviewed.nonzero()[0].tolist()
    return {f"s{row}": (standing.decision, standing.new_label) for row, standing in standings.items() if standing}


def test_a_decision_is_on_the_disk_when_it_returns(path: Path) -> None:
    log = ReviewLog(path, IDS, "ann")
    assert not path.exists()
    before = datetime.now(UTC)
    _decide(log, 1, 4, decision=RELABEL, label="Bo")
    reviews = read_reviews(path)
    assert reviews.select(["sample_id", "decision", "new_label", "reviewer"]).to_pylist() == [
        {"sample_id": name, "decision": "relabel", "new_label": "Bo", "reviewer": "ann"} for name in ("s1", "s4")
    ]
    assert all(before <= at <= datetime.now(UTC) for at in reviews["at"].to_pylist())
    assert _in_memory(ReviewLog(path, IDS, "bea")) == _on_disk(path)


def test_undo_brings_back_what_was_before_also_after_a_restart(path: Path) -> None:
    log = ReviewLog(path, IDS, "ann")
    _decide(log, 1)
    both = _decide(log, 1, 2, decision=DROP)
    assert log.undo(both, tab="1") == [1, 2]
    assert _on_disk(path) == _in_memory(log) == {"s1": ("keep", None)}
    _decide(log, 3)
    again = ReviewLog(path, IDS, "ann")
    assert again.undo(None, tab="1") == [3]
    assert again.undo(None, tab="1") == [1]
    assert again.undo(None, tab="1") == []
    assert again.undo(both, tab="1") == []
    assert _on_disk(path) == _in_memory(again) == {}


def test_an_earlier_action_can_be_taken_back_under_a_later_one(path: Path) -> None:
    log = ReviewLog(path, IDS, "ann")
    first = _decide(log, 1)
    _decide(log, 1, decision=DROP)
    assert log.undo(first, tab="1") == [1]
    assert _in_memory(log) == {"s1": ("drop", None)}


def test_undo_is_of_the_own_decisions_only(path: Path) -> None:
    ann = ReviewLog(path, IDS, "ann")
    _decide(ann, 1)
    _decide(ReviewLog(path, IDS, "bea"), 2)
    assert ann.undo(None, tab="1") == [1]
    assert _on_disk(path) == {"s2": ("keep", None)}


def test_what_another_tab_decided_meanwhile_is_not_overwritten(path: Path) -> None:
    log = ReviewLog(path, IDS, "ann")
    seen = log.version
    _decide(log, 1, decision=DROP)
    (outcome,) = log.record([Action([0, 1, 2], KEEP, None, seen)], tab="2")
    assert (outcome.applied, outcome.conflicts) == (2, [1])
    assert _on_disk(path) == {"s0": ("keep", None), "s1": ("drop", None), "s2": ("keep", None)}
    (nothing,) = log.record([Action([1], KEEP, None, seen)], tab="2")
    assert (nothing.action_id, nothing.applied, nothing.conflicts) == (None, 0, [1])
    (same,) = log.record([Action([1], DROP, None, seen)], tab="2")
    assert same.conflicts == []
    (known,) = log.record([Action([1], KEEP, None, log.version)], tab="2")
    assert known.conflicts == []
    assert _on_disk(path)["s1"] == ("keep", None)


def test_one_tab_may_change_its_mind_before_it_is_answered(path: Path) -> None:
    log = ReviewLog(path, IDS, "ann")
    seen = log.version
    outcomes = log.record([Action([1], DROP, None, seen), Action([1], KEEP, None, seen)], tab="1")
    outcomes += log.record([Action([1], DROP, None, seen)], tab="1")
    assert [outcome.conflicts for outcome in outcomes] == [[], [], []]
    assert len({outcome.action_id for outcome in outcomes}) == 3
    assert _on_disk(path) == _in_memory(log) == {"s1": ("drop", None)}


def test_what_another_tab_took_back_is_not_decided_again_unknowingly(path: Path) -> None:
    log = ReviewLog(path, IDS, "ann")
    action = _decide(log, 1, decision=DROP)
    seen = log.version
    log.undo(action, tab="1")
    (outcome,) = log.record([Action([1], KEEP, None, seen)], tab="2")
    assert outcome.conflicts == [1]


def test_two_processes_hear_of_each_other(path: Path) -> None:
    ann, bea = ReviewLog(path, IDS, "ann"), ReviewLog(path, IDS, "bea")
    _decide(ann, 1)
    seen = bea.version
    (outcome,) = bea.record([Action([1], DROP, None, seen)], tab="1")
    assert outcome.conflicts == [1]
    assert bea.changed_since(seen).tolist() == [1]
    _decide(bea, 2, decision=DROP)
    ann.refresh()
    assert _in_memory(ann) == _in_memory(bea) == _on_disk(path) == {"s1": ("keep", None), "s2": ("drop", None)}
    standing = ann.standing(2)
    assert isinstance(standing, StandingReview)
    assert standing.reviewer == "bea"
    path.unlink()
    ann.refresh()
    assert _in_memory(ann) == {}


def test_reviews_of_other_samples_stay(path: Path) -> None:
    gone = pa.Table.from_pylist([{"sample_id": "gone", "decision": "drop"}], schema=REVIEWS)
    write_table(gone, path)
    log = ReviewLog(path, IDS, "ann")
    _decide(log, 0)
    log.undo(None, tab="1")
    assert read_reviews(path).equals(gone)


def test_the_last_decision_holds_whatever_the_clock_says(path: Path) -> None:
    future = datetime(2200, 1, 1, tzinfo=UTC)
    write_table(pa.Table.from_pylist([{"sample_id": "s1", "decision": "drop", "at": future}], schema=REVIEWS), path)
    log = ReviewLog(path, IDS, "ann")
    _decide(log, 1)
    assert _on_disk(path) == _in_memory(log) == {"s1": ("keep", None)}


steps = st.lists(
    st.one_of(st.tuples(st.lists(st.integers(0, 5), min_size=1, max_size=3), st.sampled_from([KEEP, DROP])), st.none()),
    max_size=12,
)


@settings(max_examples=30)
@given(taken=steps)
def test_memory_and_disk_agree_with_a_plain_list_of_actions(
    taken: list[tuple[list[int], Decision] | None], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("log") / "reviews.parquet"
    log = ReviewLog(path, IDS, "ann")
    actions: list[tuple[list[int], Decision]] = []
    for step in taken:
        if step is None:
            assert sorted(log.undo(None, tab="1")) == (sorted({*actions.pop()[0]}) if actions else [])
        else:
            _decide(log, *step[0], decision=step[1])
            actions.append(step)
    expected = {f"s{row}": (decision.value, None) for rows, decision in actions for row in rows}
    assert _in_memory(log) == expected
    assert (_on_disk(path) if path.exists() else {}) == expected


_WRITER = """
import sys
import pyarrow as pa
from pathlib import Path
from purify.tables.schema import Decision
from purify.review.review_log import Action, ReviewLog
log = ReviewLog(Path(sys.argv[1]), pa.array([f"s{i}" for i in range(10_000)]), "ann")
for row in range(10_000):
    log.record([Action([row], Decision.KEEP, None, log.version)], tab="1")
    print(row, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("acknowledged", [1, 7, 23])
def test_a_kill_at_any_time_loses_nothing_acknowledged(path: Path, acknowledged: int) -> None:
    writer = subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    for _ in range(acknowledged):
        writer.stdout.readline()
    writer.kill()
    told = acknowledged + len(writer.stdout.read().split())
    writer.wait()
    rows = len(read_reviews(path))
    assert told <= rows <= told + 1
    update_reviews(path, lambda present: present)  # nobody holds the turn any more
