"""Labels on the review page: groups to decide as a whole, proposed merges, and search."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from purify.arrays import Ids
from purify.review.samples import Samples, column
from purify.tables.schema import Flag

#: Flags of the labels offered by a search without words.
_PROPOSALS = (Flag.MIXED, Flag.DUPLICATE_OF, Flag.WEAK_MAJORITY)


@dataclass(frozen=True)
class Group:
    """Rows of a label at one sub-center, or in one group of a proposed split."""

    kind: str
    number: int
    rows: Ids


class LabelIndex:
    """The labels of a run; `place` is the number of each."""

    def __init__(self, samples: Samples, class_report: pa.Table) -> None:
        self._samples = samples
        self.place = {label: place for place, label in enumerate(samples.labels)}
        self._report = class_report.combine_chunks()
        self._report_row = {label: row for row, label in enumerate(class_report["label"].to_pylist())}
        self._folded = [fold(label) for label in samples.labels]
        flags = zip(self._report_row, class_report["flag"].to_pylist(), strict=True)
        self._flagged = [self.place[label] for label, flag in flags if flag in _PROPOSALS and label in self.place]
        self._subcenter = column(samples.verdicts["subcenter"], -1).astype(np.int64)

    def facts(self, label: int) -> dict[str, Any]:
        """A label's row of the class report; empty without one."""
        row = self._report_row.get(self._samples.labels[label])
        return {} if row is None else dict(self._report.slice(row, 1).to_pylist()[0])

    def search(self, words: str, *, most: int) -> list[int]:
        """Labels that contain `words`: equal ones first, then those that begin with them.

        Without words, labels with a proposal.
        """
        wanted = fold(words)
        if not wanted:
            return self._flagged[:most]
        found = [place for place, label in enumerate(self._folded) if wanted in label]
        found.sort(key=lambda place: (self._folded[place] != wanted, not self._folded[place].startswith(wanted)))
        return found[:most]

    def groups(self, label: int) -> list[Group]:
        """The proposed split of a label, else its rows by sub-center."""
        rows = self._samples.rows_of(label)
        return self._split(rows, self.facts(label).get("split") or []) or self._subcenters(rows)

    def merges(self, label: int) -> list[dict[str, Any]]:
        """Labels that may be the same person, as in the class report."""
        return [merge for merge in self.facts(label).get("merge_with") or [] if merge["label"] in self.place]

    def _split(self, rows: Ids, proposal: Sequence[Sequence[str]]) -> list[Group]:
        groups, left = [], rows
        for number, sample_ids in enumerate(proposal, start=1):
            named = self._samples.rows_named(sample_ids)
            groups.append(Group("split", number, rows[np.isin(rows, named)]))
            left = left[~np.isin(left, named)]
        if groups and len(left):
            groups.append(Group("rest", len(groups) + 1, left))
        return groups

    def _subcenters(self, rows: Ids) -> list[Group]:
        subcenters = self._subcenter[rows]
        return [Group("subcenter", int(k), rows[subcenters == k]) for k in np.unique(subcenters)]


def fold(label: str) -> str:
    """A label in normal form for search: case-folded, underscores as spaces."""
    return unicodedata.normalize("NFKC", label).casefold().replace("_", " ").strip()
