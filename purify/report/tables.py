"""What the report says of a run, as plain values: tables in, rows out. Knows no HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from purify.analysis.rounds import STOP_MEANINGS, Stop
from purify.evaluation.detection import score_verdicts
from purify.manifest.schema import Decision, Flag, Status

_UNUSABLE = 50
_CLASSES = 15
_KEPT = pa.array([Decision.KEEP.value, Decision.RELABEL.value])
#: Models in the order of the set that they were trained on, from the given one to the truly clean one.
_MODELS = ("raw", "random", "purified", "oracle")
_DIFFERENCES = ("purified-raw", "purified-random", "purified-oracle", "oracle-raw")
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
    """Rows that came in, and what became of them: ``images`` = ``not usable`` + ``kept`` + ``removed``."""
    kept = pc.sum(pc.is_in(verdicts["decision"], _KEPT)).as_py() or 0
    return {
        "images": len(manifest),
        "labels": len(manifest["label"].unique()),
        "not usable": len(manifest) - len(verdicts),
        "kept": kept,
        "removed": len(verdicts) - kept,
    }


def reasons(verdicts: pa.Table) -> list[dict[str, Any]]:
    """``decision``, ``reason``, number ``n`` and ``share`` of the samples, most frequent first."""
    groups = verdicts.group_by(["decision", "reason"]).aggregate([([], "count_all")]).to_pylist()
    rows = [
        {"decision": g["decision"], "reason": g["reason"], "n": g["count_all"], "share": g["count_all"] / len(verdicts)}
        for g in groups
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


def angle_groups(manifest: pa.Table, verdicts: pa.Table) -> dict[str, npt.NDArray[np.float32]]:
    """Angles in degrees to the dominant sub-center, in groups by truth as far as the manifest knows it."""
    degrees = verdicts["angle_dominant"].to_numpy().astype(np.float32)
    rows = judged_rows(manifest, verdicts)
    if rows["true_label"].null_count == len(rows):
        return {"all samples": degrees}
    right = pc.equal(verdicts["label"], rows["true_label"])
    groups = {
        "label right": degrees[_mask(pc.fill_null(right, False))],
        "label wrong": degrees[_mask(pc.invert(pc.fill_null(right, True)))],
        "truth not known": degrees[_mask(right.is_null())],
    }
    return {name: values for name, values in groups.items() if len(values)}


def judged_rows(manifest: pa.Table, verdicts: pa.Table) -> pa.Table:
    """The manifest's rows of the verdicts, in their order; nulls for a verdict of no row."""
    position = pc.index_in(verdicts["sample_id"].combine_chunks(), manifest["sample_id"].combine_chunks())
    return manifest.take(position)


def worst_classes(report: pa.Table) -> list[dict[str, Any]]:
    """Rows of the class report with something removed, largest share first."""
    columns = ["label", "n", "n_kept", "dominant_share", "noise_rate", "flag"]
    rows = report.select(columns).filter(pc.greater(report["n"], report["n_kept"]))
    return rows.sort_by([("noise_rate", "descending"), ("label", "ascending")]).slice(0, _CLASSES).to_pylist()


def flag_counts(report: pa.Table) -> dict[str, int]:
    """Number of labels with each flag but ``ok``."""
    found = {entry["values"]: entry["counts"] for entry in report["flag"].value_counts().to_pylist()}
    return {flag: n for flag, n in sorted(found.items()) if flag != Flag.OK.value}


def surest_removed(verdicts: pa.Table, *, most: int) -> pa.Table:
    """Verdicts that drop a sample, the lowest ``p_clean`` first."""
    return _by_p_clean(verdicts, pc.equal(verdicts["decision"], Decision.DROP.value), most)


def least_sure_kept(verdicts: pa.Table, *, most: int) -> pa.Table:
    """Verdicts that keep a sample, the lowest ``p_clean`` first."""
    return _by_p_clean(verdicts, pc.equal(verdicts["decision"], Decision.KEEP.value), most)


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


def _by_p_clean(verdicts: pa.Table, mask: pa.ChunkedArray, most: int) -> pa.Table:
    order = [("p_clean", "ascending"), ("sample_id", "ascending")]
    return verdicts.filter(mask).sort_by(order).slice(0, most)


def _mask(column: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    return column.to_numpy().astype(bool)
