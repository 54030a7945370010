"""Counts, reasons, rounds and the noise estimate of a run, as plain values for the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from purify.analysis.round_changes import STOP_MEANINGS, Stop
from purify.evaluation.noise_rate import NoiseEstimate, estimate_noise
from purify.images.defects import Defect
from purify.report.known_truth import as_mask
from purify.report.label_angles import label_numbers
from purify.tables.schema import Decision, Reason, Status

_UNUSABLE = 50
_KEPT = pa.array([Decision.KEEP.value, Decision.RELABEL.value])
REASON_MEANINGS: Mapping[str, str] = {
    Reason.NEAR_DOMINANT: "like the other images of its label",
    Reason.FAR_FROM_DOMINANT: "far from the label's dominant sub-center, and near no other label",
    Reason.NON_DOMINANT_SUBCENTER: "near enough, but at another sub-center than most of its label",
    Reason.CLOSER_TO_OTHER_LABEL: "more like another label of the set",
    Reason.OPEN_SET: "like no label of the set: a stranger, or no face",
    Reason.SECOND_IDENTITY: "in a smaller group of a label that shows two people or more",
    Reason.DUPLICATE_OF: "its label is another name of the same person",
    Reason.SAME_PICTURE: "the same picture, or nearly, is under another label too",
    Reason.NEAR_DUPLICATE_OF: "nearly the same picture as another one of its label",
    Reason.UNCERTAIN: "doubtful: kept, or left to a person, as asked",
    Reason.TOO_FEW_TO_JUDGE: "its label has too few images to judge",
    Reason.HARD: "far from its label, but of a kind that is hard to recognize, and no other label claims it",
    Reason.REVIEWED: "decided by a person",
    Reason.PUBLISHED_LIST: "kept or removed by a published list",
}


def counts(manifest: pa.Table, verdicts: pa.Table) -> dict[str, int]:
    """Number of rows by outcome: ``images`` = ``not usable`` + ``kept`` + ``removed``.

    ``kept`` includes the ``relabeled``, ``removed`` those left to a person (``review``); ``reviewed`` counts the
    decisions of people.
    """
    kept = pc.sum(pc.is_in(verdicts["decision"], _KEPT)).as_py() or 0
    found = {entry["values"]: entry["counts"] for entry in verdicts["decision"].value_counts().to_pylist()}
    return {
        "images": len(manifest),
        "labels": len(manifest["label"].unique()),
        "not usable": len(manifest) - len(verdicts),
        "kept": kept,
        "relabeled": found.get(Decision.RELABEL.value, 0),
        "removed": len(verdicts) - kept,
        "review": found.get(Decision.REVIEW.value, 0),
        "reviewed": pc.sum(pc.equal(verdicts["reason"], Reason.REVIEWED.value)).as_py() or 0,
    }


def reasons(verdicts: pa.Table) -> list[dict[str, Any]]:
    """``decision``, ``reason``, ``meaning``, number ``n`` and ``share`` of the samples, most frequent first."""
    groups = verdicts.group_by(["decision", "reason"]).aggregate([([], "count_all")]).to_pylist()
    rows = []
    for group in groups:
        n, meaning = group.pop("count_all"), REASON_MEANINGS.get(group["reason"], "")
        rows.append({**group, "meaning": meaning, "n": n, "share": n / len(verdicts)})
    return sorted(rows, key=lambda row: (-row["n"], row["decision"], row["reason"]))


def rounds(info: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rounds in ``run.json``, each with its ``changed_share`` and, for the last, ``why_last``.

    Empty for a run of a single round, unless there were no images for another.
    """
    summaries = info.get("rounds", [])
    if len(summaries) < 2 and not any(summary["stopped_because"] == Stop.NO_IMAGES for summary in summaries):
        return []
    shares = [None if s["changed"] is None else s["changed"] / (s["kept"] + s["removed"]) for s in summaries]
    return [
        {**summary, "changed_share": share, "why_last": STOP_MEANINGS.get(summary["stopped_because"])}
        for summary, share in zip(summaries, shares, strict=True)
    ]


def unusable(manifest: pa.Table) -> dict[str, Any]:
    """Rows that are not ok: ``n``, number ``by_status``, and the first ``rows`` with their reasons."""
    rows = manifest.filter(pc.not_equal(manifest["status"], Status.OK.value))
    by_status = {entry["values"]: entry["counts"] for entry in rows["status"].value_counts().to_pylist()}
    first = rows.select(["sample_id", "label", "status", "status_reason"]).slice(0, _UNUSABLE)
    return {"n": len(rows), "by_status": dict(sorted(by_status.items())), "rows": first.to_pylist()}


def missing_images(manifest: pa.Table, source_warnings: Sequence[str] = ()) -> pa.Table:
    """Rows of the images that were not found; none if a warning of the source reports them."""
    if any("images are missing from the image roots" in warning for warning in source_warnings):
        return manifest.slice(0, 0)
    return manifest.filter(pc.starts_with(manifest["status_reason"].cast(pa.string()), Defect.MISSING.value))


def near_duplicates(verdicts: pa.Table) -> int:
    """Number of images that are near duplicates of another one of their label."""
    return pc.sum(pc.equal(verdicts["reason"], Reason.NEAR_DUPLICATE_OF.value)).as_py() or 0


def noise_of(verdicts: pa.Table, *, calibrated: bool, bounds: Sequence[float] | None = None) -> NoiseEstimate | None:
    """Estimated share of wrong labels: from the probabilities, or the share not kept by a rule without any.

    Decisions of people count as certain. The interval holds `bounds`, if any (`RunTables.noise_bounds`).
    """
    kept = (verdicts["decision"].to_numpy() == Decision.KEEP.value).astype(np.float64)
    p_clean = kept
    if calibrated:
        decided = pc.and_(
            pc.equal(verdicts["reason"], Reason.REVIEWED.value),
            pc.not_equal(verdicts["decision"], Decision.REVIEW.value),
        )
        p_clean = np.where(as_mask(decided), kept, verdicts["p_clean"].to_numpy().astype(np.float64))
    estimate = estimate_noise(p_clean, label_numbers(verdicts))
    return estimate and estimate.widened(bounds)
