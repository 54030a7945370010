"""``report.html``: the findings of a run as one self-contained page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from purify.evaluation.unseen_pairs import left_out
from purify.report import known_truth, label_findings, run_overview, template, verification_rows
from purify.report.contact_sheets import contact_sheets
from purify.report.notices import notices
from purify.report.page_figures import label_pictures, run_pictures, verification_pictures
from purify.report.photos import photo_counts, shown_photos
from purify.report.protocol_rows import protocol_section
from purify.report.rule_settings import script_data, setting_values
from purify.report.run_tables import RunTables, read_run
from purify.report.shown_images import with_images
from purify.report.shown_paths import column_without_folders, without_folders
from purify.report.structure_truth import KnownPeople, merges_with_truth, mixed_with_truth
from purify.report.subcenter_faces import faces_with_members
from purify.storage.files import write_bytes
from purify.storage.locations import Location
from purify.storage.run_folder import RunFolder
from purify.tables.schema import Flag

_WORST = 25
_CARDS = 12
_FINDINGS = 20


def write_report(folder: Path, *, images: Sequence[Location] = (), full_paths: bool = False) -> Path:
    """Write ``report.html`` of a run and return its path.

    Verification is shown if the run has measured it, figures against truth if the manifest has it. `images` are folders
    or tars in which to look up the samples' images, for a run without their addresses. Paths are shown without the
    folders above them, unless `full_paths` or the setting ``show.full_paths`` asks for them.

    Raises
    ------
    InputError
        If the folder holds no manifest, verdicts or class report, or a damaged one, or `images` no image of it.
    """
    run = read_run(folder)
    run = replace(run, manifest=with_images(run.manifest, images))
    if not (full_paths or run.info.get("config", {}).get("show", {}).get("full_paths")):
        run = _without_folders(run)
    text = template.render({**report_values(run), "reconstructed": faces_with_members(folder, run)})
    path = RunFolder(folder).report
    write_bytes(path, text.encode())
    return path


def _without_folders(run: RunTables) -> RunTables:
    """A run whose record, measurements and notes on unusable rows name no folders above a file."""
    manifest = column_without_folders(run.manifest, "status_reason")
    info, evaluation = without_folders([run.info, run.evaluation])
    return replace(run, info=info, evaluation=evaluation, manifest=manifest)


def report_values(run: RunTables) -> dict[str, Any]:
    """Collect all values of a run for the page."""
    truth = known_truth.truth_figures(run.manifest, run.verdicts)
    people = KnownPeople(run.manifest, run.verdicts)
    mixed = mixed_with_truth(label_findings.mixed_labels(run.class_report, run.verdicts), people)
    merges = merges_with_truth(label_findings.merge_proposals(run.class_report), run.verdicts, people)
    merges.sort(key=lambda merge: not merge["applied"])
    same = label_findings.same_pictures(run.verdicts)
    structure = {
        "mixed": mixed[:_FINDINGS],
        "merges": merges[:_FINDINGS],
        "confused": label_findings.confused_pairs(run.verdicts, most=_FINDINGS),
        "same": same[:_FINDINGS],
    }
    classes = label_findings.worst_labels(run.class_report, most=_WORST)
    cards = [row for row in classes if row["flag"] != Flag.MIXED][:_CARDS]
    shares = label_findings.subcenter_shares(run.verdicts, run.class_report)
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
        "rounds": run_overview.rounds(run.info),
        "counts": run_overview.counts(run.manifest, run.verdicts),
        "noise": run_overview.noise_of(run.verdicts, calibrated=run.calibrated, bounds=run.noise_bounds),
        "truth": truth,
        "truth_rows": known_truth.truth_rows(truth or {}),
        "reasons": run_overview.reasons(run.verdicts),
        "unusable": run_overview.unusable(run.manifest),
        "came_in": photo_counts(run.manifest),
        "photos": shown_photos(run.manifest),
        "classes": [{**row, "shares": shares.of(row["label"]) if shares else []} for row in classes],
        "flags": label_findings.flag_counts(run.class_report),
        "flag_meanings": label_findings.FLAG_MEANINGS,
        "mixed_in_all": len(mixed),
        "mixed_open": sum(not row["settled"] for row in mixed),
        "mixed_truth": _told([row["really_mixed"] for row in mixed if not row["settled"]]),
        "merges_in_all": len(merges),
        "same_in_all": len(same),
        "near_duplicates": run_overview.near_duplicates(run.verdicts),
        "same_person": _merge_counts(merges, applied=True),
        "look_alike": _merge_counts(merges, applied=False),
        "notices": notices(run, faces_shown=faces["faces_shown"]),
        **faces,
        "cards": label_pictures(run, faces["cards"]),
        **settings,
        **pictures,
        "sweep_data": script_data(settings["sweeps"], pictures["axis"]),
        **_verification(run.evaluation),
        "protocols": protocol_section(run.protocols),
    }


def _merge_counts(merges: Sequence[Mapping[str, Any]], *, applied: bool) -> dict[str, Any]:
    """Number ``n`` of the merges, carried out or only proposed, and their ``truth``."""
    told = [merge["one_person"] for merge in merges if merge["applied"] == applied]
    return {"n": len(told), "truth": _told(told)}


def _told(answers: Sequence[bool | None]) -> dict[str, int] | None:
    """Numbers of ``right`` and of ``known`` answers; None if none is known."""
    known = [answer for answer in answers if answer is not None]
    return {"right": sum(known), "known": len(known)} if known else None


def _verification(evaluation: Mapping[str, Any] | None) -> dict[str, Any]:
    if evaluation is None:
        return {"evaluation": None}
    models = verification_rows.ordered_models(evaluation)
    return {
        "evaluation": evaluation,
        "left_out": left_out(evaluation["pairs"]),
        "gap": verification_rows.gap_closed(evaluation),
        "models": models,
        "differences": verification_rows.ordered_differences(evaluation),
        "fars": verification_rows.measured_fars(models),
        **verification_pictures(models),
    }


def _json(info: Mapping[str, Any], keys: Sequence[str]) -> str:
    return json.dumps({key: info[key] for key in keys if key in info}, indent=2, ensure_ascii=False)
