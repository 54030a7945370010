"""Labels on the review page: groups to decide as a whole, proposed merges, and search."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from purify.review.samples import Rows, Samples, column
from purify.tables.schema import Flag


@dataclass(frozen=True)
class Group:
    """Rows of a label at one sub-center, or in one group of a proposed split."""

    kind: str
    number: int
    rows: Rows


@dataclass(frozen=True)
class MergeProposal:
    """Another label that may be the same person: its place, the angle between the two, and the evidence."""

    label: int
    angle: float
    evidence: Rows


@dataclass(frozen=True)
class LabelPage:
    """A label's row of the class report (schema `CLASS_REPORT`; empty without one), its groups and merges."""

    label: int
    facts: Mapping[str, Any]
    groups: Sequence[Group]
    merges: Sequence[MergeProposal]


class LabelIndex:
    """The labels of a run."""

    def __init__(self, samples: Samples, class_report: pa.Table) -> None:
        self._samples = samples
        self._place = {label: place for place, label in enumerate(samples.labels)}
        self._report = class_report.combine_chunks()
        self._report_row = {label: row for row, label in enumerate(class_report["label"].to_pylist())}
        self._folded = [fold(label) for label in samples.labels]
        flags = class_report["flag"].to_pylist()
        self._flagged = [
            self._place[label]
            for label, flag in zip(self._report_row, flags, strict=True)
            if flag in (Flag.MIXED, Flag.DUPLICATE_OF, Flag.WEAK_MAJORITY) and label in self._place
        ]
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

    def page(self, label: int) -> LabelPage:
        """The page of one label."""
        facts = self.facts(label)
        rows = self._samples.rows_of(label)
        groups = self._split(rows, facts.pop("split", None) or []) or self._subcenters(rows)
        merges = [
            MergeProposal(
                self._place[merge["label"]], merge["angle"], self._samples.rows_named(merge["evidence_ids"] or [])
            )
            for merge in facts.pop("merge_with", None) or []
            if merge["label"] in self._place
        ]
        return LabelPage(label, facts, groups, merges)

    def _split(self, rows: Rows, proposal: Sequence[Sequence[str]]) -> list[Group]:
        groups, left = [], rows
        for number, sample_ids in enumerate(proposal, start=1):
            named = self._samples.rows_named(sample_ids)
            groups.append(Group("split", number, rows[np.isin(rows, named)]))
            left = left[~np.isin(left, named)]
        if groups and len(left):
            groups.append(Group("rest", len(groups) + 1, left))
        return groups

    def _subcenters(self, rows: Rows) -> list[Group]:
        subcenters = self._subcenter[rows]
        return [Group("subcenter", int(k), rows[subcenters == k]) for k in np.unique(subcenters)]


def fold(label: str) -> str:
    """A label in normal form for search: case-folded, underscores as blanks."""
    return unicodedata.normalize("NFKC", label).casefold().replace("_", " ").strip()
