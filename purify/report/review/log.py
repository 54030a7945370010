"""The reviews while the page is open: recorded on the disk before they are acknowledged, and taken back.

Several tabs, and other processes, may write: each change has a version, and whoever decides says which version they
had seen, so that nobody overwrites what they don't know of.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from purify.manifest.reviews import latest_reviews, read_reviews, update_reviews
from purify.manifest.schema import REVIEWS, Decision
from purify.report.review.samples import Rows


@dataclass(frozen=True)
class Action:
    """One decision on any number of rows, taken by someone who had seen the changes up to the version `seen`."""

    rows: Sequence[int]
    decision: Decision
    new_label: str | None
    seen: int


@dataclass(frozen=True)
class Standing:
    """The review that holds for a row; `at` in microseconds since 1970, UTC."""

    decision: str
    new_label: str | None
    reviewer: str | None
    at: int | None


@dataclass(frozen=True)
class Recorded:
    """What became of an action.

    Attributes
    ----------
    action_id
        By which it can be taken back; None: nothing of it was recorded.
    applied
        Number of rows that it decided.
    conflicts
        Rows that someone else had decided otherwise in the meantime; they stay so.
    """

    action_id: int | None
    applied: int
    conflicts: Sequence[int]


class ReviewLog:
    """The reviews of a run, in memory and in its file; thread safe.

    Parameters
    ----------
    path
        ``reviews.parquet``; made by the first review.
    sample_ids
        Names of the rows. Reviews of other samples stay in the file as they are.
    reviewer
        Who decides here.
    """

    def __init__(self, path: Path, sample_ids: pa.Array, reviewer: str) -> None:
        self._path = path
        self._ids = sample_ids
        self._reviewer = reviewer
        self._lock = threading.RLock()
        self._version = 0
        self._changed = np.zeros(len(sample_ids), np.int64)
        self._changed_by: dict[int, str | None] = {}
        self._reviewed = np.zeros(len(sample_ids), bool)
        self._standing: dict[int, Standing] = {}
        self._reviews = REVIEWS.empty_table()
        self._seen: tuple[int, ...] | None = None
        self.refresh()

    @property
    def version(self) -> int:
        """Number of changes so far."""
        return self._version

    @property
    def reviewed(self) -> npt.NDArray[np.bool_]:
        """Bool [N]: rows that someone decided."""
        return self._reviewed

    def standing(self, row: int) -> Standing | None:
        """The review that holds for a row."""
        return self._standing.get(row)

    def changed_since(self, version: int) -> Rows:
        """Rows whose review came, changed or went after `version`."""
        return np.flatnonzero(self._changed > version)

    def refresh(self) -> None:
        """Take over what others have written to the file."""
        with self._lock:
            if self._signature() != self._seen:
                self._seen = self._signature()
                self._replace(read_reviews(self._path) if self._path.exists() else REVIEWS.empty_table())

    def record(self, actions: Sequence[Action], *, tab: str) -> list[Recorded]:
        """Write decisions that were taken in a tab.

        A row that another tab, or another process, has decided otherwise since is left as it is and named as a
        conflict. When this returns, the decisions are on the disk.
        """
        with self._lock:
            self.refresh()
            outcomes, tables, touched = [], [], set[int]()
            at = self._next_time()
            for action in actions:
                asked = dict.fromkeys(action.rows)
                conflicts = [row for row in asked if row not in touched and self._conflicts(row, action, tab)]
                rows = list(asked.keys() - set(conflicts))
                touched.update(rows)
                if rows:
                    tables.append(self._table(rows, action, at))
                outcomes.append(Recorded(at if rows else None, len(rows), conflicts))
                at += 1
            if tables:
                self._write(lambda present: pa.concat_tables([present, *tables]), touched, tab=tab)
            return outcomes

    def undo(self, action_id: int | None, *, tab: str) -> list[int]:
        """Take an action of this reviewer back (None: the last one), and return its rows; none: there is no such.

        What was decided before on these rows holds again.
        """
        with self._lock:
            self.refresh()
            mine = self._reviews.filter(pc.equal(self._reviews["reviewer"], self._reviewer))
            if action_id is None:
                action_id = pc.max(mine["at"].cast(pa.int64())).as_py()
            taken = mine.filter(pc.equal(mine["at"].cast(pa.int64()), action_id))
            if action_id is None or not len(taken):
                return []
            rows = self._rows(taken["sample_id"])

            def without(present: pa.Table) -> pa.Table:
                of_action = pc.and_(
                    pc.equal(present["at"].cast(pa.int64()), action_id), pc.equal(present["reviewer"], self._reviewer)
                )
                return present.filter(pc.invert(pc.fill_null(of_action, False)))

            self._write(without, rows, tab=tab)
            return rows

    def _conflicts(self, row: int, action: Action, tab: str) -> bool:
        if self._changed[row] <= action.seen or self._changed_by[row] == tab:
            return False
        standing = self._standing.get(row)
        return standing is None or (standing.decision, standing.new_label) != (action.decision, action.new_label)

    def _next_time(self) -> int:
        """Now, but later than every review so far: the last one holds, whatever the clocks say."""
        last = pc.max(self._reviews["at"].cast(pa.int64())).as_py()
        return max(time.time_ns() // 1000, (last or 0) + 1)

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

    def _write(self, change: Callable[[pa.Table], pa.Table], rows: Iterable[int], *, tab: str) -> None:
        known = self._reviews
        found: list[pa.Table] = []

        def noted(present: pa.Table) -> pa.Table:
            found.append(present)
            return change(present)

        reviews = update_reviews(self._path, noted)
        self._seen = self._signature()
        if found[0].equals(known):
            self._reviews = reviews
            self._look_up(rows, tab)
        else:  # another process wrote since
            self._replace(reviews)

    def _replace(self, reviews: pa.Table) -> None:
        before = set(self._standing)
        self._reviews = reviews
        self._look_up({*before, *self._rows(reviews["sample_id"])}, None)

    def _look_up(self, rows: Iterable[int], tab: str | None) -> None:
        """Find out anew which reviews hold for `rows`, and note which of them changed, and by whom."""
        rows = sorted(rows)
        names = self._ids.take(pa.array(rows, pa.int64()))
        latest = latest_reviews(self._reviews.filter(pc.is_in(self._reviews["sample_id"], names)))
        places = pc.index_in(latest["sample_id"].combine_chunks(), names).to_pylist()
        found = {rows[place]: standing for place, standing in zip(places, _standings(latest), strict=True)}
        self._version += 1
        for row in rows:
            standing = found.get(row)
            if standing == self._standing.get(row):
                continue
            self._changed[row] = self._version
            self._changed_by[row] = tab
            self._reviewed[row] = standing is not None
            if standing is None:
                del self._standing[row]
            else:
                self._standing[row] = standing

    def _rows(self, sample_ids: pa.ChunkedArray) -> list[int]:
        position = pc.index_in(sample_ids.combine_chunks(), self._ids).drop_null()
        rows: list[int] = position.to_pylist()
        return rows

    def _signature(self) -> tuple[int, ...] | None:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns


def _standings(latest: pa.Table) -> list[Standing]:
    columns: dict[str, list[Any]] = latest.set_column(4, "at", latest["at"].cast(pa.int64())).to_pydict()
    return [
        Standing(*values)
        for values in zip(*(columns[name] for name in ("decision", "new_label", "reviewer", "at")), strict=True)
    ]
