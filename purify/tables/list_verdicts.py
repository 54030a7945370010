"""A published list as verdicts on a manifest. Pure functions."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import pyarrow as pa

from purify.errors import InputError
from purify.tables.list_files import CleanList
from purify.tables.manifest import ok_rows
from purify.tables.path_matching import Match, SamplePaths
from purify.tables.schema import VERDICTS, Decision, Reason, Status

_SHOWN = 3
#: Share of listed labels that are labels of the manifest, from which on they mean its people.
_KNOWN_LABELS = 0.5
#: Share of matched rows beyond which relabeling is no correction, but another naming.
_MOST_RELABELED = 0.5


class Listed(enum.StrEnum):
    """What a list names: the images to keep, or those to remove."""

    KEPT = "kept"
    REMOVED = "removed"


class ListedLabels(enum.StrEnum):
    """Whether labels in a list of kept images are the final ones."""

    AUTO = "auto"
    USE = "use"
    IGNORE = "ignore"


@dataclass(frozen=True)
class ListVerdicts:
    """Verdicts by a list (schema `VERDICTS`), one for each ok row of the manifest, in its order.

    ``counts`` has the entries of the list by their match, as in `Match`, and ``repeated`` ones among these.
    """

    verdicts: pa.Table
    counts: dict[str, int]
    warnings: tuple[str, ...]


@dataclass
class _Found:
    """Entries of a list matched to samples: row -> label, and what is to be said."""

    labels: dict[int, str | None] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def note(self, kind: str, path: str) -> None:
        self.counts[kind] += 1
        shown = self.examples.setdefault(kind, [])
        if len(shown) < _SHOWN:
            shown.append(path)


def verdicts_by_list(
    manifest: pa.Table, given: CleanList, listed: Listed, *, name: str, labels: ListedLabels = ListedLabels.AUTO
) -> ListVerdicts:
    """Judge the ok rows of `manifest` by the list `given`, called `name`.

    Of a list of kept images, all other rows are dropped; of one of removed images, all others are kept. Labels in a
    list of kept images relabel, by default if at least half of them are labels of the manifest. InputError if no entry
    is in the manifest, if nothing is to be kept, or if, by default, most rows would be relabeled.
    """
    judging = _Judging(manifest, _match(SamplePaths(manifest["sample_id"].to_pylist()), given), listed, labels)
    if not given.paths and listed is Listed.KEPT:
        raise InputError(f"{name}: the list has no entries, so it would keep nothing")
    if given.paths and not judging.found.labels:
        raise InputError(
            f"{name}: none of its {len(given.paths)} entries, such as {given.paths[0]!r}, is in the manifest, whose "
            f"samples are such as {manifest['sample_id'][0]}; read as {given.form}"
        )
    rows = ok_rows(manifest)
    final = judging.final_labels()
    moved = [new is not None and new != own for new, own in zip(final, rows["label"].to_pylist(), strict=True)]
    kept = sum(label is not None for label in final)
    if labels is ListedLabels.AUTO and sum(moved) > _MOST_RELABELED * kept:
        raise InputError(
            f"{name}: its labels would rename {sum(moved)} of {kept} images; give --labels use if they are right, or "
            "--labels ignore if they are a numbering of their own"
        )
    given_columns = {
        "sample_id": rows["sample_id"],
        "label": rows["label"],
        "decision": pa.array(map(_decision, final, moved), pa.string()),
        "new_label": pa.array([label if new else None for label, new in zip(final, moved, strict=True)], pa.string()),
        "reason": pa.repeat(Reason.PUBLISHED_LIST.value, len(rows)),
        "rule": pa.repeat(f"list/{name}", len(rows)),
    }
    empty = {column.name: pa.nulls(len(rows), column.type) for column in VERDICTS}
    verdicts = pa.table({**empty, **given_columns}, schema=VERDICTS)
    kinds = [*(kind.value for kind in Match), "repeated"]
    counts = {"entries": len(given.paths), **{kind: judging.found.counts[kind] for kind in kinds}}
    return ListVerdicts(verdicts, counts, tuple(f"{name}: {line}" for line in judging.warnings()))


def _match(samples: SamplePaths, given: CleanList) -> _Found:
    found = _Found()
    for path, label in zip(given.paths, given.labels, strict=True):
        kind, row = samples.find(path)
        found.note(kind.value, path)
        if row < 0:
            continue
        if row in found.labels:
            found.note("repeated", path)
            if found.labels[row] != label:
                found.note("contradictory", path)
        else:
            found.labels[row] = label
    return found


@dataclass(frozen=True)
class _Judging:
    """A manifest, and the entries of a list in it."""

    manifest: pa.Table
    found: _Found
    listed: Listed
    labels: ListedLabels

    def final_labels(self) -> list[str | None]:
        """Final labels of the ok rows; None: removed."""
        status, own = self.manifest["status"].to_pylist(), self.manifest["label"].to_pylist()
        named, renames = self.found.labels, self.uses_labels
        final: list[str | None] = []
        for row, label in enumerate(own):
            if status[row] != Status.OK.value:
                continue
            kept = (row in named) == (self.listed is Listed.KEPT)
            final.append(((named.get(row) if renames else None) or label) if kept else None)
        return final

    @cached_property
    def named(self) -> list[str]:
        """The labels in the list, of matched entries."""
        return sorted({label for label in self.found.labels.values() if label is not None})

    @cached_property
    def uses_labels(self) -> bool:
        """Whether the labels in the list are final ones."""
        if self.listed is Listed.REMOVED or not self.named or self.labels is ListedLabels.IGNORE:
            return False
        known = len(set(self.named) & set(self.manifest["label"].to_pylist()))
        return self.labels is ListedLabels.USE or known >= _KNOWN_LABELS * len(self.named)

    def warnings(self) -> Iterator[str]:
        """What has no effect, and why."""
        if not self.found.counts.total():
            yield "the list has no entries"
        told = {
            Match.NONE.value: "match no sample and have no effect",
            Match.AMBIGUOUS.value: "match several samples and have no effect (add their folders)",
            "contradictory": "repeat a sample under another label, and the first one holds",
        }
        for kind, what in told.items():
            if count := self.found.counts[kind]:
                shown = ", ".join(map(repr, self.found.examples[kind])) + (", ..." if count > _SHOWN else "")
                yield f"{count:,} of its entries {what}: {shown}"
        if self.named and self.listed is Listed.KEPT and self.labels is ListedLabels.AUTO and not self.uses_labels:
            yield f"its labels, such as {self.named[0]!r}, are not those of the manifest and were ignored"


def _decision(final: str | None, moved: bool) -> str:
    if final is None:
        return Decision.DROP.value
    return (Decision.RELABEL if moved else Decision.KEEP).value
