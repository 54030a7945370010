"""``report.html``: what came in, what was removed and why, and what that gained; one file that needs no other."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from matplotlib.figure import Figure

from purify.report import labels, page, tables
from purify.report.contact import contact_sheets
from purify.report.figures import angle_histogram
from purify.report.pictures import label_pictures, run_pictures, verification_pictures
from purify.report.run_tables import RunTables, read_run
from purify.report.settings import script_data, setting_values
from purify.report.tables import truth_figures
from purify.storage.files import atomic_path
from purify.storage.locations import Location
from purify.storage.run_folder import RunFolder
from purify.tables.schema import Flag

__all__ = ["run_histogram", "truth_figures", "write_report"]

_WORST = 25
_CARDS = 12
_MIXED = 20
_MERGES = 20
_CONFUSED = 20


def write_report(folder: Path, *, images: Sequence[Location] = ()) -> Path:
    """Write ``report.html`` of the run in `folder`; returns its path.

    Verification is shown if the run has come that far, figures against truth if the manifest knows it.

    Raises
    ------
    InputError
        If the folder holds no manifest, verdicts or class report, or a damaged one.
    """
    run = read_run(folder)
    text = page.render(report_values(run))
    path = RunFolder(folder).report
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def run_histogram(manifest: pa.Table, verdicts: pa.Table, info: Mapping[str, Any]) -> Figure:
    """Angles to the dominant sub-center, with the run's threshold, and the truth where the manifest knows it."""
    threshold = info.get("config", {}).get("analyze", {}).get("threshold", 75.0)
    return angle_histogram(tables.angle_groups(manifest, verdicts), threshold=threshold)


def report_values(run: RunTables) -> dict[str, Any]:
    """All that the page says of a run."""
    truth = truth_figures(run.manifest, run.verdicts)
    mixed, merges = labels.mixed_labels(run.class_report, run.verdicts), labels.merge_proposals(run.class_report)
    structure = {
        "mixed": mixed[:_MIXED],
        "merges": merges[:_MERGES],
        "confused": labels.confused_pairs(run.verdicts, most=_CONFUSED),
    }
    classes = labels.worst_labels(run.class_report, most=_WORST)
    cards = [row for row in classes if row["flag"] != Flag.MIXED][:_CARDS]
    shares = labels.subcenter_shares(run.verdicts, run.class_report)
    faces = contact_sheets(run, cards=cards, **structure)
    settings, pictures = setting_values(run), run_pictures(run, shares)
    return {
        "name": run.name,
        "info": run.info,
        "rule": run.rule,
        "calibrated": run.calibrated,
        "settings": {
            "All settings of this run": _json(run.info, ("config",)),
            "Versions and inputs": _json(run.info, ("git_revision", "versions", "embeddings", "input_hashes")),
        },
        "rounds": tables.rounds(run.info),
        "counts": tables.counts(run.manifest, run.verdicts),
        "noise": tables.noise_of(run.verdicts, calibrated=run.calibrated),
        "truth": truth,
        "truth_rows": tables.truth_rows(truth or {}),
        "reasons": tables.reasons(run.verdicts),
        "unusable": tables.unusable(run.manifest),
        "classes": [{**row, "shares": shares.of(row["label"]) if shares else []} for row in classes],
        "flags": labels.flag_counts(run.class_report),
        "flag_meanings": labels.FLAG_MEANINGS,
        "mixed_in_all": len(mixed),
        "mixed_open": sum(not row["settled"] for row in mixed),
        "merges_in_all": len(merges),
        **faces,
        "cards": label_pictures(run, faces["cards"]),
        **settings,
        **pictures,
        "sweep_data": script_data(settings["sweeps"], pictures["axis"]),
        **_verification(run.evaluation),
    }


def _verification(evaluation: Mapping[str, Any] | None) -> dict[str, Any]:
    if evaluation is None:
        return {"evaluation": None}
    models = tables.ordered_models(evaluation)
    return {
        "evaluation": evaluation,
        "models": models,
        "differences": tables.ordered_differences(evaluation),
        "fars": tables.measured_fars(models),
        **verification_pictures(models),
    }


def _json(info: Mapping[str, Any], keys: Sequence[str]) -> str:
    return json.dumps({key: info[key] for key in keys if key in info}, indent=2, ensure_ascii=False)
