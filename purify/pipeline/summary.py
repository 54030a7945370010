"""The outcome of a run as figures, for programs; `purify.pipeline.closing` has the sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from purify.pipeline.update_log import read_update
from purify.report.run_overview import rounds
from purify.report.run_page import noise_estimate
from purify.storage.files import read_table
from purify.storage.run_folder import RunFolder
from purify.storage.run_record import read_evaluation
from purify.tables.schema import VERDICTS

#: Figures of the verdicts against the truth, if known; the report has more.
_TRUTH_FIGURES = ("average_precision", "f1", "precision", "recall", "clean_kept")
#: Verification pairs: in the file, left out for a person or an image of the training set, and used.
_PAIR_COUNTS = ("given", "excluded_identity", "excluded_image", "used")

#: Samples new, changed or gone in an update, images embedded, and images new since the last training.
_UPDATE_COUNTS = ("new", "changed", "gone", "embedded", "new_since_training")


def run_summary(run: RunFolder) -> dict[str, Any]:
    """Figures of a run, under the keys of ``--json``."""
    info = run.read_info()
    values: dict[str, Any] = {"run": run.shown(run.root), **_update_figures(run), **run.required("counts")}
    if (noise := noise_estimate(info)) is not None:
        values["noise_estimate"] = noise
    if (chosen := info.get("extractor")) is not None:
        values |= {"extractor": chosen["name"], "extractor_because": chosen["why"]}
    if weak := (info.get("judged_by") or {}).get("weak"):
        values = {"warning": weak, **values}
    if run.evaluation.exists():
        evaluation = read_evaluation(run.evaluation)
        values |= {f"auc_{name}": model["auc"] for name, model in evaluation["models"].items()}
        values |= {f"pairs_{key}": evaluation["pairs"][key] for key in _PAIR_COUNTS}
        gap = evaluation.get("gap_closed")
        closed = gap and gap.get("auc")
        values["gap_closed"] = closed["value"] if closed else None
    if damage := info.get("damage"):
        values["damage"] = damage
    values |= _round_figures(info)
    truth = info.get("truth", {})
    values |= {f"noise_{key}": truth[key] for key in _TRUTH_FIGURES if key in truth}
    return {**values, "report": run.shown(run.report)}


def judging_summary(run: RunFolder) -> dict[str, Any]:
    """Figures of a run without models: its files, and the number of images per decision."""
    verdicts = read_table(run.verdicts, VERDICTS, columns=["decision"])
    decisions = {entry["values"]: entry["counts"] for entry in verdicts["decision"].value_counts().to_pylist()}
    info = run.read_info()
    files = {
        "run": run.shown(run.root),
        "verdicts": run.shown(run.root / run.verdicts.name),
        "class_report": run.shown(run.root / run.class_report.name),
    }
    judged, counts = run.required("judged_by"), run.required("counts")
    rules = {"rule": judged["asked"], "judged_by": judged["rule"]}
    return {**files, **rules, **decisions, **counts, "noise_estimate": noise_estimate(info)}


def _update_figures(run: RunFolder) -> dict[str, Any]:
    """Findings and work of the last update."""
    last = read_update(run)
    if last is None:
        return {}
    update = asdict(last)
    counts = {f"update_{key}": update[key] for key in _UPDATE_COUNTS}
    return {"nothing_new": update["nothing_new"], **counts, "update_models": _models_text(update)}


def _models_text(update: Mapping[str, Any]) -> str:
    """The models trained by the last update, and the reason."""
    if update["trained"]:
        return f"trained: {update['why']}"
    again = [model for model, number in update["trained_on"].items() if number == update["update"]]
    if not again or update["nothing_new"]:
        return f"kept: {update['why']}"
    return f"kept: {update['why']}; but {', '.join(again)} trained on what is kept now, which changed by more than that"


def _round_figures(info: Mapping[str, Any]) -> dict[str, Any]:
    """Figures of the rounds, if there was more than one or a second one lacked images."""
    rows = rounds(info)
    if not rows:
        return {}
    values: dict[str, Any] = {"rounds": len(rows)}
    for row in rows:
        values[f"round_{row['round']}_noise_estimate"] = row["noise_estimate"]
        if row["changed"] is not None:
            values[f"round_{row['round']}_changed"] = row["changed"]
    return {**values, "rounds_stopped_because": f"{rows[-1]['stopped_because']}: {rows[-1]['why_last']}"}
