"""Proposed splits and merges against the truth, where the manifest has it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from purify.tables.apply import judged_rows
from purify.tables.schema import Decision, Reason


@dataclass(frozen=True)
class Majority:
    """The most frequent true label of some images: ``person`` (``""``: nobody in the set), ``n`` of ``known``."""

    person: str
    n: int
    known: int


class KnownPeople:
    """True labels by sample and by given label; finds nothing if the manifest has no truth."""

    def __init__(self, manifest: pa.Table, verdicts: pa.Table) -> None:
        truths = judged_rows(manifest, verdicts)["true_label"].to_pylist()
        self._of_sample = dict(zip(verdicts["sample_id"].to_pylist(), truths, strict=True))
        self._of_label: dict[str, Counter[str]] = {}
        for label, truth in zip(verdicts["label"].to_pylist(), truths, strict=True):
            if truth is not None:
                self._of_label.setdefault(label, Counter())[truth] += 1

    def of_samples(self, sample_ids: Sequence[str]) -> Majority | None:
        """Majority of the samples; None where no truth is known."""
        return _majority(Counter(t for name in sample_ids if (t := self._of_sample.get(name)) is not None))

    def of_label(self, label: str) -> Majority | None:
        """Majority among the people of a label; None where no truth is known or all images show strangers."""
        people = Counter(self._of_label.get(label, {}))
        known = people.total()
        del people[""]
        found = _majority(people)
        return None if found is None else Majority(found.person, found.n, known)


def merges_with_truth(
    merges: Sequence[Mapping[str, Any]], verdicts: pa.Table, known: KnownPeople
) -> list[dict[str, Any]]:
    """The merge proposals with ``applied`` and ``one_person``.

    ``applied``: images were relabeled, by the rule (only with an extractor that tells people apart reliably) or by a
    reviewer. ``one_person``: whether both labels are one person in truth; None: not known.
    """
    renamed = verdicts.filter(pc.equal(verdicts["decision"], Decision.RELABEL.value))
    sure = pc.is_in(renamed["reason"], pa.array([Reason.DUPLICATE_OF.value, Reason.REVIEWED.value]))
    renamed = renamed.filter(sure)
    pairs = set(zip(renamed["label"].to_pylist(), renamed["new_label"].to_pylist(), strict=True))
    found = []
    for merge in merges:
        one, other = known.of_label(merge["label"]), known.of_label(merge["into"])
        same = None if one is None or other is None else one.person == other.person
        found.append({**merge, "applied": (merge["label"], merge["into"]) in pairs, "one_person": same})
    return found


def mixed_with_truth(mixed: Sequence[Mapping[str, Any]], known: KnownPeople) -> list[dict[str, Any]]:
    """The mixed labels with the ``people`` of each group (`Majority`), and whether they are ``really_mixed``.

    A label is really mixed where a smaller group's majority is not that of the largest group; None: not known.
    """
    found = []
    for row in mixed:
        people = [known.of_samples(group) for group in row["groups"]]
        first, *others = (None if one is None else one.person for one in people)
        told = [other for other in others if other is not None]
        really = None if first is None or not told else any(other != first for other in told)
        found.append({**row, "people": people, "really_mixed": really})
    return found


def _majority(people: Counter[str]) -> Majority | None:
    if not people:
        return None
    person, n = min(people.items(), key=lambda item: (-item[1], item[0]))
    return Majority(person, n, people.total())
