"""Findings about labels, as plain values: the worst, mixed, duplicate and confused ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from purify.analysis.identities.spelling import SPELLED_ALIKE
from purify.report.label_angles import label_numbers
from purify.tables.schema import Decision, Flag, Reason

#: Meanings of the flags, as shown to users.
FLAG_MEANINGS = {
    Flag.OK: "nothing to look at",
    Flag.MIXED: "shows two people or more",
    Flag.DUPLICATE_OF: "looks like the person of another label",
    Flag.WEAK_MAJORITY: "less than half of its images are probably right",
    Flag.TOO_FEW: "too few images to judge",
}
_COLUMNS = ["label", "n", "n_kept", "dominant_share", "noise_rate", "flag"]
_LIKELY = 0.5


@dataclass(frozen=True)
class SubcenterShares:
    """Images of every label at each sub-center: int64 ``counts[C, K]`` of the C `labels` of the class report."""

    labels: Sequence[str]
    counts: npt.NDArray[np.int64]

    @property
    def shares(self) -> npt.NDArray[np.float64]:
        """``[C, K]``: rows that add up to 1; labels without images are left out."""
        total = self.counts.sum(axis=1, keepdims=True)
        present = total[:, 0] > 0
        return self.counts[present] / total[present]

    def of(self, label: str) -> list[float]:
        """Shares of one label's images, the largest first; empty for a label without images."""
        counts = np.sort(self.counts[self.labels.index(label)])[::-1]
        return (counts / counts.sum()).tolist() if counts.any() else []


def subcenter_shares(verdicts: pa.Table, report: pa.Table) -> SubcenterShares | None:
    """Number of images of each label nearest to each sub-center; None if the verdicts have none."""
    known = verdicts.filter(verdicts["subcenter"].is_valid())
    labels = report["label"].combine_chunks()
    if not len(known):
        return None
    row = pc.index_in(known["label"].combine_chunks(), labels).to_numpy().astype(np.int64)
    center = known["subcenter"].to_numpy().astype(np.int64)
    most = int(center.max()) + 1
    counts = np.bincount(row * most + center, minlength=len(labels) * most).reshape(len(labels), most)
    return SubcenterShares(labels.to_pylist(), counts)


def worst_labels(report: pa.Table, *, most: int) -> list[dict[str, Any]]:
    """Labels that lost images, as rows of the class report, largest share of noise first.

    Duplicates of other labels are left out: their name is wrong, not their faces.
    """
    rows = report.select(_COLUMNS).filter(pc.greater(report["n"], report["n_kept"]))
    rows = rows.filter(pc.not_equal(rows["flag"], Flag.DUPLICATE_OF.value))
    order = [("noise_rate", "descending"), ("n", "descending"), ("label", "ascending")]
    return rows.sort_by(order).slice(0, most).to_pylist()


def flag_counts(report: pa.Table) -> dict[str, int]:
    """Number of labels with each flag but ``ok``."""
    found = {entry["values"]: entry["counts"] for entry in report["flag"].value_counts().to_pylist()}
    return {flag: n for flag, n in sorted(found.items()) if flag != Flag.OK.value}


def mixed_labels(report: pa.Table, verdicts: pa.Table) -> list[dict[str, Any]]:
    """Labels that show several people: ``label``, ``n`` and ``groups`` of sample ids, the largest group first.

    A label is ``settled`` when a person has decided on each image of its smaller groups. Open ones come first, in the
    order of the size of their smaller groups.
    """
    reviewed = set(verdicts.filter(pc.equal(verdicts["reason"], Reason.REVIEWED.value))["sample_id"].to_pylist())
    rows = report.select(["label", "n", "split"]).filter(report["split"].is_valid()).to_pylist()
    found = [
        {
            "label": row["label"],
            "n": row["n"],
            "groups": row["split"],
            "settled": all(reviewed.issuperset(group) for group in row["split"][1:]),
        }
        for row in rows
        if len(row["split"]) > 1
    ]
    found.sort(key=lambda row: (row["settled"], -sum(map(len, row["groups"][1:])), row["label"]))
    return found


def merge_proposals(report: pa.Table) -> list[dict[str, Any]]:
    """Labels that may be one person, nearest first.

    Each has ``label``, ``into`` (the larger), ``angle``, ``evidence_ids``, the probability ``p_same`` (None in a run of
    an earlier version), and the likeness ``spelling`` of the labels where it adds to that of the faces.
    """
    rows = report.select(["label", "n", "flag", "merge_with"]).filter(report["merge_with"].is_valid()).to_pylist()
    by_label = {row["label"]: row for row in rows}
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        for partner in row["merge_with"]:
            small, large = _small_first(row, by_label.get(partner["label"], {"label": partner["label"], "n": row["n"]}))
            values = {"label": small, "into": large, "angle": partner["angle"], "evidence_ids": partner["evidence_ids"]}
            spelling = partner.get("spelling")
            values["p_same"] = partner.get("p_same")
            values["spelling"] = spelling if spelling is not None and spelling >= SPELLED_ALIKE else None
            found.setdefault((small, large), values)
    return sorted(found.values(), key=lambda merge: (merge["angle"], merge["label"]))


def same_pictures(verdicts: pa.Table) -> list[dict[str, Any]]:
    """Pairs of images of different labels that are one picture, or of faces too alike for two people.

    Those with the least probable label come first.

    Each has ``ids``, ``labels``, ``decisions`` and ``p_clean`` of the two.
    """
    columns = ["sample_id", "label", "decision", "p_clean", "evidence_ids"]
    rows = verdicts.filter(pc.equal(verdicts["reason"], Reason.SAME_PICTURE.value)).select(columns).to_pylist()
    by_id = {row["sample_id"]: row for row in rows}
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in rows:
        other = by_id.get((row["evidence_ids"] or [""])[0])
        if other is not None:
            pair = sorted((row, other), key=lambda one: str(one["sample_id"]))
            ids = tuple(one["sample_id"] for one in pair)
            values = {name: [one[name] for one in pair] for name in ("label", "decision", "p_clean")}
            found.setdefault(ids, {"ids": ids, **values})
    return sorted(found.values(), key=lambda pair: (min(pair["p_clean"]), pair["ids"]))


def confused_pairs(verdicts: pa.Table, *, most: int) -> list[dict[str, Any]]:
    """Pairs of labels with images under each other's name, most images first.

    Pairs of a single image are left out if any pair has more.

    Returns
    -------
    list of dict
        ``label`` as given, the likelier ``other``, the number ``n`` of such images, how many of them were
        ``relabeled``, and ``back``: the number in the opposite direction.
    """
    reason, decision, other = pc.field("reason"), pc.field("decision"), pc.field("other_label")
    mistaken = (reason == Reason.CLOSER_TO_OTHER_LABEL.value) | (pc.field("p_other") >= _LIKELY)
    # A duplicate label is a merge, not a confusion.
    wrong = (decision != Decision.KEEP.value) & (reason != Reason.DUPLICATE_OF.value) & other.is_valid()
    rows = verdicts.filter(wrong & mistaken)
    relabeled = pc.cast(pc.equal(rows["decision"], Decision.RELABEL.value), pa.int64())
    grouped = rows.append_column("relabeled", relabeled).group_by(["label", "other_label"])
    counted = grouped.aggregate([([], "count_all"), ("relabeled", "sum")])
    counted = counted.select(["label", "other_label", "count_all", "relabeled_sum"])
    counted = counted.rename_columns(["label", "other", "n", "relabeled"])
    pairs = counted.sort_by([("n", "descending"), ("label", "ascending"), ("other", "ascending")]).to_pylist()
    number = {(pair["label"], pair["other"]): pair["n"] for pair in pairs}
    several = [pair for pair in pairs if pair["n"] > 1] or pairs
    return [{**pair, "back": number.get((pair["other"], pair["label"]), 0)} for pair in several[:most]]


def by_label(verdicts: pa.Table, labels: Sequence[str]) -> dict[str, npt.NDArray[np.int64]]:
    """Row numbers of the verdicts of each of the `labels`."""
    numbers = label_numbers(verdicts)
    names = verdicts["label"].combine_chunks().dictionary_encode().dictionary.to_pylist()
    order = np.argsort(numbers, kind="stable")
    start = np.searchsorted(numbers[order], np.arange(len(names) + 1))
    place = {name: i for i, name in enumerate(names)}
    own = np.split(order, start[1:])  # the last one, of no label, is empty
    return {label: own[place.get(label, -1)] for label in labels}


def _small_first(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[str, str]:
    """The label to be merged, and the one it is merged into: the flagged one, else the smaller one."""
    keys = [(row.get("flag") != Flag.DUPLICATE_OF.value, row["n"], row["label"]) for row in (one, other)]
    return (one["label"], other["label"]) if keys[0] <= keys[1] else (other["label"], one["label"])
