"""The log of reviews behind the page: decisions go to the disk before they are acknowledged, and can be undone.

Several tabs and processes may write. Every change has a version, and a decision names the version it was based on,
so that nobody overwrites a decision unseen.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from purify.arrays import Ids, Mask
from purify.tables.reviews import latest_reviews, read_reviews, update_reviews
from purify.tables.schema import REVIEWS, Decision


@dataclass(frozen=True)
class Action:
    """One decision on any number of rows, based on the version `seen`."""

    rows: Sequence[int]
    decision: Decision
    new_label: str | None
    seen: int


@dataclass(frozen=True)
class StandingReview:
    """The review in force for a row; `at` in microseconds since 1970, UTC."""

    decision: str
    new_label: str | None
    reviewer: str | None
    at: int | None


@dataclass(frozen=True)
class Recorded:
    """Outcome of an action: an id for undoing it (None: nothing was recorded) and the number of rows decided.

    `conflicts` are rows decided differently by someone else in the meantime, left unchanged.
    """

    action_id: int | None
    applied: int
    conflicts: Sequence[int]


class ReviewLog:
    """The reviews of a run, in memory and in its file; thread safe.

    The first review creates the file at `path`. `sample_ids` are the names of the rows; reviews of other samples stay
    in the file unchanged. `version` is the number of changes so far, ``reviewed[N]`` a mask of the rows with a review.
    """

    def __init__(self, path: Path, sample_ids: pa.Array, reviewer: str) -> None:
        self._path = path
        self._ids = sample_ids
        self._reviewer = reviewer
        self._lock = threading.RLock()
        self.version = 0
        self._changed = np.zeros(len(sample_ids), np.int64)
        self._changed_by: dict[int, str | None] = {}
        self.reviewed: Mask = np.zeros(len(sample_ids), bool)
        self._standing: dict[int, StandingReview] = {}
        self._reviews = REVIEWS.empty_table()
        self._seen: tuple[int, ...] | None = None
        self.refresh()

    def standing(self, row: int) -> StandingReview | None:
        """The review in force for a row; None without one."""
        return self._standing.get(row)

    def changed_since(self, version: int) -> Ids:
        """Rows with a review added, changed or removed after `version`."""
        return np.flatnonzero(self._changed > version)

    def refresh(self) -> None:
        """Read the changes of other processes from the file."""
        with self._lock:
            if self._signature() != self._seen:
                self._seen = self._signature()
                self._replace(read_reviews(self._path) if self._path.exists() else REVIEWS.empty_table())

    def record(self, actions: Sequence[Action], *, tab: str) -> list[Recorded]:
        """Write the decisions of a tab to the disk.

        A row since decided differently by another tab or process is left unchanged and reported as a conflict.
        """
        outcomes: list[Recorded] = []
        touched: set[int] = set()

        def with_actions(present: pa.Table) -> pa.Table:
            tables = [present]
            at = _time_after(present)
            for action in actions:
                asked = dict.fromkeys(action.rows)
                conflicts = {row for row in asked if row not in touched and self._conflicts(row, action, tab)}
                rows = [row for row in asked if row not in conflicts]
                touched.update(rows)
                tables.append(self._table(rows, action, at))
                outcomes.append(Recorded(at if rows else None, len(rows), sorted(conflicts)))
                at += 1
            return pa.concat_tables(tables)

        self._write(with_actions, touched, tab=tab)
        return outcomes

    def undo(self, action_id: int | None, *, tab: str) -> list[int]:
        """Undo an action of this reviewer (None: the last one) and return its rows; empty without such an action.

        Earlier reviews of these rows are in force again.
        """
        rows: list[int] = []

        def without_action(present: pa.Table) -> pa.Table:
            mine = pc.fill_null(pc.equal(present["reviewer"], self._reviewer), False)
            at = present["at"].cast(pa.int64())
            wanted = pc.max(at.filter(mine)).as_py() if action_id is None else action_id
            taken = pc.and_(mine, pc.fill_null(pc.equal(at, pa.scalar(wanted, pa.int64())), False))
            rows.extend(self._rows(present["sample_id"].filter(taken)))
            return present.filter(pc.invert(taken))

        if self._path.exists():
            self._write(without_action, rows, tab=tab)
        return rows

    def _conflicts(self, row: int, action: Action, tab: str) -> bool:
        if self._changed[row] <= action.seen or self._changed_by[row] == tab:
            return False
        standing = self._standing.get(row)
        return standing is None or (standing.decision, standing.new_label) != (action.decision, action.new_label)

    def _table(self, rows: Sequence[int], action: Action, at: int) -> pa.Table:
        n = len(rows)
        columns = [
            self._ids.take(pa.array(rows, pa.int64())),
            pa.repeat(action.decision.value, n),
            pa.repeat(pa.scalar(action.new_label, pa.string()), n),
            pa.repeat(self._reviewer, n),
            pa.repeat(pa.scalar(at, pa.int64()), n).cast(REVIEWS.field("at").type),
        ]
        return pa.table(columns, schema=REVIEWS)

    def _write(self, change: Callable[[pa.Table], pa.Table], rows: Collection[int], *, tab: str) -> None:
        """Apply `change`, which touches `rows`, to the reviews in the file; other processes wait meanwhile."""

        def informed(present: pa.Table) -> pa.Table:
            if not present.equals(self._reviews):  # another process has written since
                self._replace(present)
            return change(present)

        with self._lock:
            self._reviews = update_reviews(self._path, informed)
            self._seen = self._signature()
            self._look_up(rows, tab)

    def _replace(self, reviews: pa.Table) -> None:
        before = set(self._standing)
        self._reviews = reviews
        self._look_up({*before, *self._rows(reviews["sample_id"])}, None)

    def _look_up(self, rows: Iterable[int], tab: str | None) -> None:
        """Update the reviews in force for `rows`, and record which of them changed, and by whom."""
        rows = sorted(rows)
        names = self._ids.take(pa.array(rows, pa.int64()))
        latest = latest_reviews(self._reviews.filter(pc.is_in(self._reviews["sample_id"], names)))
        places = pc.index_in(latest["sample_id"].combine_chunks(), names).to_pylist()
        found = {rows[place]: standing for place, standing in zip(places, _standings(latest), strict=True)}
        version = self.version + 1
        for row in rows:
            standing = found.get(row)
            if standing == self._standing.get(row):
                continue
            self._changed[row] = version
            self._changed_by[row] = tab
            self.reviewed[row] = standing is not None
            if standing is None:
                del self._standing[row]
            else:
                self._standing[row] = standing
        self.version = version  # last: a concurrent reader hears of these rows twice rather than never

    def _rows(self, sample_ids: pa.ChunkedArray) -> list[int]:
        return list(pc.index_in(sample_ids.combine_chunks(), self._ids).drop_null().to_pylist())

    def _signature(self) -> tuple[int, ...] | None:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns


def _time_after(reviews: pa.Table) -> int:
    """Now, but later than every review so far: the last review wins, whatever the clocks say."""
    last = pc.max(reviews["at"].cast(pa.int64())).as_py()
    return max(time.time_ns() // 1000, (last or 0) + 1)


def _standings(latest: pa.Table) -> list[StandingReview]:
    rows = latest.drop_columns("sample_id").set_column(3, "at", latest["at"].cast(pa.int64())).to_pylist()
    return [StandingReview(**row) for row in rows]
