"""A finished run judged again by another rule, as the baseline of a comparison."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from purify.config_files import config_from_json
from purify.pipeline.manifest_analysis import analyze_manifest
from purify.report.run_tables import RunTables, read_run, run_embeddings
from purify.storage.run_folder import RunFolder


def run_before(named: str | None, folder: Path | str, after: RunTables) -> RunTables:
    """The baseline to compare a run with.

    The run `named`; without a name, the first of several rounds; else the same embeddings under the rule `official`.
    """
    if named:
        return read_run(named)
    if len(after.info.get("rounds", [])) > 1:
        return read_run(folder, round_number=1)
    return judged_by(folder, after, "official")


def judged_by(folder: Path | str, run: RunTables, rule: str) -> RunTables:
    """Judge a run by another rule, from its embeddings and, if present, its checkpoint."""
    place = RunFolder(Path(folder)).last_round
    settings = config_from_json(run.info.get("config", {}), origin=f"{folder}/run.json")
    config = settings.changed(analyze={"rule": rule})
    checkpoint = place.checkpoint if place.checkpoint.exists() else None
    embeddings = run_embeddings(folder, run)
    later_round = place.changes.exists()
    analysis = analyze_manifest(run.manifest, embeddings, config, checkpoint_folder=checkpoint, later_round=later_round)
    name = f"{run.name}, rule {rule}"
    return replace(run, name=name, verdicts=analysis.verdicts, class_report=analysis.class_report, evaluation=None)
