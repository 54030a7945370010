"""What the report says of a run, as plain values: tables in, rows out. Knows no HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from purify.analysis.round_changes import STOP_MEANINGS, Stop
from purify.evaluation.detection import score_verdicts
from purify.evaluation.noise_rate import NoiseEstimate, estimate_noise
from purify.report.sweeps import (
    Sweep,
    Truth,
    angle_settings,
    sweep_official,
    sweep_paper,
    sweep_precision,
)
from purify.tables.apply import judged_rows
from purify.tables.schema import Decision, Reason, Status

Degrees = npt.NDArray[np.float32]

_UNUSABLE = 50
_KEPT = pa.array([Decision.KEEP.value, Decision.RELABEL.value])
#: Models in the order of the set that they were trained on, from the given one to the truly clean one.
_MODELS = ("raw", "random", "purified", "oracle")
_DIFFERENCES = ("purified-raw", "purified-random", "purified-oracle", "oracle-raw")
#: What each reason means, for people.
REASON_MEANINGS = {
    Reason.NEAR_DOMINANT: "like the other images of its label",
    Reason.FAR_FROM_DOMINANT: "far from the label's dominant sub-center, and near no other label",
    Reason.NON_DOMINANT_SUBCENTER: "near enough, but at another sub-center than most of its label",
    Reason.CLOSER_TO_OTHER_LABEL: "more like another label of the set",
    Reason.OPEN_SET: "like no label of the set: a stranger, or no face",
    Reason.SECOND_IDENTITY: "of the smaller group under a label that stands for two people",
    Reason.DUPLICATE_OF: "its label is another spelling of the new one",
    Reason.UNCERTAIN: "doubtful: kept, or left to a person, as asked",
    Reason.TOO_FEW_TO_JUDGE: "its label has too few images to judge",
    Reason.REVIEWED: "decided by a person",
}
#: Figures of `score_verdicts` that are shown: key -> name, meaning.
_TRUTH_MEANINGS = {
    "average_precision": ("average precision", "of the ranking: 1 if every wrong label ranks before every right one"),
    "auroc": ("AUROC", "chance that a wrong label ranks before a right one"),
    "f1": ("F1", "of the decisions: harmonic mean of the next two"),
    "precision": ("precision", "share of the removed whose label is wrong"),
    "recall": ("recall", "share of the wrong labels that were removed"),
    "clean_kept": ("clean kept", "share of the right labels that were kept"),
    "noise_share": ("noise before", "share of wrong labels among all"),
    "residual_noise": ("noise after", "share of wrong labels among the kept"),
}


def counts(manifest: pa.Table, verdicts: pa.Table) -> dict[str, int]:
    """Rows that came in, and what became of them: ``images`` = ``not usable`` + ``kept`` + ``removed``.

    ``kept`` counts the ``relabeled``, ``removed`` those left to a person (``review``); ``reviewed`` is what a person
    has decided.
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
    meanings: dict[str, str] = {reason.value: meaning for reason, meaning in REASON_MEANINGS.items()}
    rows = [
        {
            "decision": group["decision"],
            "reason": group["reason"],
            "meaning": meanings.get(group["reason"], ""),
            "n": group["count_all"],
            "share": group["count_all"] / len(verdicts),
        }
        for group in groups
    ]
    return sorted(rows, key=lambda row: (-row["n"], row["decision"], row["reason"]))


def rounds(info: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rounds in ``run.json``, each with its ``changed_share`` and, for the last, ``why_last``.

    Empty for a run of a single round, unless it is single because more could not be done.
    """
    summaries = info.get("rounds", [])
    if len(summaries) < 2 and not any(summary["stopped_because"] == Stop.NO_IMAGES for summary in summaries):
        return []
    return [
        {**summary, "changed_share": _changed_share(summary), "why_last": STOP_MEANINGS.get(summary["stopped_because"])}
        for summary in summaries
    ]


def unusable(manifest: pa.Table) -> dict[str, Any]:
    """Rows that are not ok: ``n``, number ``by_status``, and the first ``rows`` with their reasons."""
    rows = manifest.filter(pc.not_equal(manifest["status"], Status.OK.value))
    by_status = {entry["values"]: entry["counts"] for entry in rows["status"].value_counts().to_pylist()}
    first = rows.select(["sample_id", "label", "status", "status_reason"]).slice(0, _UNUSABLE)
    return {"n": len(rows), "by_status": dict(sorted(by_status.items())), "rows": first.to_pylist()}


def truth_figures(manifest: pa.Table, verdicts: pa.Table) -> dict[str, Any] | None:
    """Noise-detection figures of the verdicts, or None where the manifest does not know the truth of any."""
    if judged_rows(manifest, verdicts)["true_label"].null_count == len(verdicts):
        return None
    return score_verdicts(verdicts, manifest.select(["sample_id", "true_label"]))


def truth_rows(figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """``name``, ``value`` (None: not defined) and ``meaning`` of the figures against truth that are shown."""
    return [
        {"name": name, "value": figures[key], "meaning": meaning}
        for key, (name, meaning) in _TRUTH_MEANINGS.items()
        if key in figures
    ]


def angle_groups(manifest: pa.Table, verdicts: pa.Table) -> dict[str, Degrees]:
    """Angles in degrees to the dominant sub-center, in groups.

    They are those of the truth as far as the manifest knows it, else of whether the given label was kept.
    """
    degrees = _degrees(verdicts)
    return {name: degrees[mask] for name, mask in group_masks(manifest, verdicts).items()}


def group_masks(manifest: pa.Table, verdicts: pa.Table) -> dict[str, npt.NDArray[np.bool_]]:
    """Which verdicts are in which of the groups of `angle_groups`; groups without any are left out."""
    truth = label_truth(manifest, verdicts)
    if truth is None:
        kept = verdicts["decision"].to_numpy() == Decision.KEEP.value
        masks = {"kept": kept, "not kept": ~kept}
    else:
        masks = {
            "label right": truth.known & ~truth.wrong,
            "label wrong": truth.known & truth.wrong,
            "truth not known": ~truth.known,
        }
    return {name: mask for name, mask in masks.items() if mask.any()}


def label_angle_groups(
    manifest: pa.Table, verdicts: pa.Table, rows: Mapping[str, npt.NDArray[np.int64]]
) -> dict[str, dict[str, Degrees]]:
    """`angle_groups` of each label, whose verdicts are at ``rows[label]``."""
    degrees, masks = _degrees(verdicts), group_masks(manifest, verdicts)
    return {
        label: {name: degrees[own[mask[own]]] for name, mask in masks.items() if mask[own].any()}
        for label, own in rows.items()
    }


def subcenter_groups(verdicts: pa.Table) -> dict[str, Degrees]:
    """Angles in degrees to the dominant sub-center: of images nearest to it, and of those nearest to another."""
    degrees, at_dominant = _degrees(verdicts), _at_dominant(verdicts)
    groups = {"dominant sub-center": degrees[at_dominant], "another sub-center": degrees[~at_dominant]}
    return {name: values for name, values in groups.items() if len(values)}


def subcenter_truth(manifest: pa.Table, verdicts: pa.Table) -> list[dict[str, Any]]:
    """The paper's table of what the sub-centers hold (ArcFace, TPAMI, section 4.2), in shares of all images.

    Rows ``at``, and ``right`` and ``wrong`` by the truth where it is known, else by ``p_clean``.
    """
    truth, at_dominant = label_truth(manifest, verdicts), _at_dominant(verdicts)
    wrong = 1 - verdicts["p_clean"].to_numpy().astype(np.float64) if truth is None else truth.wrong.astype(np.float64)
    known = np.isfinite(wrong) if truth is None else truth.known
    total = max(1, int(known.sum()))
    rows = (("dominant sub-center", at_dominant & known), ("another sub-center", ~at_dominant & known))
    return [
        {"at": name, "right": float((1 - wrong[mask]).sum() / total), "wrong": float(wrong[mask].sum() / total)}
        for name, mask in rows
    ]


def label_truth(manifest: pa.Table, verdicts: pa.Table) -> Truth | None:
    """Which labels are wrong in truth; None where the manifest knows the truth of none."""
    rows = judged_rows(manifest, verdicts)
    if rows["true_label"].null_count == len(rows):
        return None
    right = pc.equal(verdicts["label"], rows["true_label"])
    return Truth(wrong=_mask(pc.invert(pc.fill_null(right, True))), known=_mask(right.is_valid()))


def noise_of(verdicts: pa.Table, *, calibrated: bool) -> NoiseEstimate | None:
    """Estimated share of wrong labels; of a rule without probabilities what it did not keep stands for them.

    What a person decided is certain.
    """
    kept = (verdicts["decision"].to_numpy() == Decision.KEEP.value).astype(np.float64)
    p_clean = kept
    if calibrated:
        decided = pc.and_(
            pc.equal(verdicts["reason"], Reason.REVIEWED.value),
            pc.not_equal(verdicts["decision"], Decision.REVIEW.value),
        )
        p_clean = np.where(_mask(decided), kept, verdicts["p_clean"].to_numpy().astype(np.float64))
    return estimate_noise(p_clean, label_numbers(verdicts))


def label_numbers(verdicts: pa.Table) -> npt.NDArray[np.int64]:
    """A number from 0 for the label of each verdict."""
    return verdicts["label"].combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)


def angle_sweeps(manifest: pa.Table, verdicts: pa.Table, *, calibrated: bool) -> dict[str, Sweep]:
    """What the rules `official` and `paper` remove at every angle."""
    degrees = _degrees(verdicts).astype(np.float64)
    at, truth = angle_settings(degrees), label_truth(manifest, verdicts)
    p_clean = verdicts["p_clean"].to_numpy().astype(np.float64) if calibrated else None
    return {
        "official": sweep_official(degrees, at, p_clean=p_clean, truth=truth),
        "paper": sweep_paper(degrees, _at_dominant(verdicts), at, p_clean=p_clean, truth=truth),
    }


def precision_settings(manifest: pa.Table, verdicts: pa.Table) -> Sweep:
    """What the rule `calibrated` removes at every precision that can be asked for."""
    always = verdicts["reason"].to_numpy() == Reason.SECOND_IDENTITY.value
    p_clean = verdicts["p_clean"].to_numpy().astype(np.float64)
    return sweep_precision(p_clean, always, truth=label_truth(manifest, verdicts))


def ordered_models(evaluation: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The models of an evaluation, in a fixed order."""
    return _in_order(evaluation["models"], _MODELS)


def ordered_differences(evaluation: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The paired differences of an evaluation, in a fixed order, each with a ``finding`` from its interval."""
    differences = _in_order(evaluation["differences"], _DIFFERENCES)
    return {name: {**figures, "finding": _finding(figures["interval"])} for name, figures in differences.items()}


def measured_fars(models: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """False accept rates that some model has a figure for, coarsest first."""
    return sorted({far for model in models.values() for far in model["tar_at_far"]}, key=float, reverse=True)


def _changed_share(summary: Mapping[str, Any]) -> float | None:
    return None if summary["changed"] is None else summary["changed"] / (summary["kept"] + summary["removed"])


def _finding(interval: Sequence[float]) -> str:
    low, high = interval
    if low > 0:
        return "better"
    return "worse" if high < 0 else "no clear difference"


def _in_order(entries: Mapping[str, Any], first: Sequence[str]) -> dict[str, Any]:
    """The entries that `first` names, in its order, then the others by name."""
    names = [name for name in first if name in entries] + sorted(set(entries) - set(first))
    return {name: entries[name] for name in names}


def _degrees(verdicts: pa.Table) -> Degrees:
    return verdicts["angle_dominant"].to_numpy().astype(np.float32)


def _at_dominant(verdicts: pa.Table) -> npt.NDArray[np.bool_]:
    """Whether each image is nearest to the dominant sub-center; where that is not known it is taken to be."""
    return _mask(pc.fill_null(pc.equal(verdicts["subcenter"], verdicts["dominant"]), True))


def _mask(column: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    return column.to_numpy().astype(bool)
