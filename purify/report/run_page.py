"""The page of a run in the Prefect UI: outcome, caveats, worst labels, verification, angles and removed faces.

Markdown from the files of the run folder; `purify.orchestration.publication` publishes it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from purify.report import verification_rows
from purify.report.canvas import data_url, png_bytes
from purify.report.face_selection import surest_removed
from purify.report.figures import angle_histogram
from purify.report.label_angles import angle_groups
from purify.report.label_findings import worst_labels
from purify.report.markdown import markdown_records, markdown_table, markdown_text, picture
from purify.report.notices import notices
from purify.report.reconstructions import GRID, TABLE
from purify.report.run_tables import RunTables, read_run
from purify.report.thumbnails import Face, face_sheets
from purify.storage.files import read_table
from purify.storage.run_folder import RunFolder
from purify.tables.schema import CLASS_REPORT, INVERSIONS

REPORTS_URL = "PURIFY_REPORTS_URL"
"""Environment variable: address at which a web server serves the folder of the runs. Browsers don't open ``file://``
links of a page loaded over HTTP."""

_WORST = 12
_FACES = 24
_FACES_A_ROW = 6


def report_link(run: RunFolder) -> str:
    """Address of the run's report."""
    base = os.environ.get(REPORTS_URL)
    if not base:
        return run.report.absolute().as_uri() if run.url is None else run.shown(run.report)
    return f"{base.rstrip('/')}/{quote(run.root.name)}/{run.report.name}"


def worst_classes(run: RunFolder) -> list[dict[str, Any]]:
    """The labels with the largest estimated share of wrong images."""
    rows = worst_labels(read_table(run.class_report, CLASS_REPORT), most=_WORST)
    shown = {"label": "label", "images": "n", "kept": "n_kept", "estimated wrong": "noise_rate", "flag": "flag"}
    rows = [{**row, "noise_rate": _percent(row["noise_rate"])} for row in rows]
    return [{name: row[column] for name, column in shown.items()} for row in rows]


def run_page(run: RunFolder, figures: Sequence[Mapping[str, Any]], *, with_faces: bool) -> str:
    """The page in Markdown; `figures` are the rows of the summary, `with_faces` shows the surest removed images."""
    tables = read_run(run.root)
    info, evaluation, groups = tables.info, tables.evaluation, angle_groups(tables.manifest, tables.verdicts)
    found = notices(tables, faces_shown=True)
    histogram = data_url(png_bytes(angle_histogram(groups, threshold=tables.threshold)), "png")
    parts = [
        f"# {markdown_text(run.root.name)}",
        *(f"**{markdown_text(notice.title)}.** {markdown_text(notice.text)}" for notice in found),
        _outcome(run.required("counts"), noise_estimate(info), evaluation),
        f"The whole report: [{markdown_text(str(run.report))}]({report_link(run)})",
        "## Labels with the most wrong images",
        _table(worst_classes(run)) or "None lost an image.",
        *_verification(evaluation),
        "## Angles to the dominant sub-center",
        picture("Angles to the dominant sub-center", histogram),
        "## Surest of the removed images",
        _removed(tables) if with_faces else "Not shown: `show.faces` keeps pictures off this server.",
        *_reconstructed(run, with_faces=with_faces),
        "## All figures",
        markdown_records(figures),
        "## Seconds a stage",
        _table([{"stage": name, "seconds": seconds} for name, seconds in info.get("stages", {}).items()]),
    ]
    return "\n\n".join(parts) + "\n"


def noise_estimate(info: Mapping[str, Any]) -> float | None:
    """Estimated share of wrong labels in the run's last round; None where its rule estimates none."""
    rounds = info.get("rounds")
    return rounds[-1]["noise_estimate"] if rounds else None


def _outcome(counts: Mapping[str, int], noise: float | None, evaluation: Mapping[str, Any] | None) -> str:
    sentences = [f"**{counts['cleaned']:,} of {counts['ok']:,} images kept**, {counts['removed']:,} removed."]
    if counts["not_ok"]:
        sentences.append(f"{counts['not_ok']:,} more were not usable.")
    if noise is not None:
        sentences.append(f"About {_percent(noise)} of the given labels are wrong.")
    if evaluation and (gap := verification_rows.gap_closed(evaluation)):
        sentences.append(gap.sentences[0])
    return " ".join(sentences)


def _verification(evaluation: Mapping[str, Any] | None) -> list[str]:
    if evaluation is None:
        return []
    rows = [
        {
            "trained on": name,
            "images": model["n_train"],
            "AUC": model["auc"],
            "95 % interval": " to ".join(f"{bound:.4f}" for bound in model["auc_interval"]),
        }
        for name, model in verification_rows.ordered_models(evaluation).items()
    ]
    return [f"## Verification on {evaluation['pairs']['used']:,} pairs of unseen people", markdown_records(rows)]


def _removed(tables: RunTables) -> str:
    shown = face_sheets(tables.manifest, {"removed": surest_removed(tables.verdicts, most=_FACES)})["removed"]
    return contact_sheet(shown) if shown else "None, or their images are not at hand."


def _reconstructed(run: RunFolder, *, with_faces: bool) -> list[str]:
    """The grid of reconstructed faces, if the flow made it; they are kept off the server like photos."""
    path = run.inversions / GRID
    if not path.is_file():
        return []
    head = "## Faces the network has in mind"
    if not with_faces:
        return [head, "Not shown: `show.faces` keeps pictures off this server."]
    targets = read_table(run.inversions / TABLE, INVERSIONS)["target"].to_pylist()
    told = "Reconstructions from the network's weights, not photos. In rows: " + ", ".join(map(markdown_text, targets))
    return [head, f"{told}.", picture("Reconstructed faces", data_url(path.read_bytes(), "png"))]


def contact_sheet(shown: Sequence[Face]) -> str:
    """Faces in rows, each above its label, angle and reason."""
    lines = []
    for start in range(0, len(shown), _FACES_A_ROW):
        row = shown[start : start + _FACES_A_ROW]
        blank = [""] * (_FACES_A_ROW - len(row))
        lines.append([*(picture(face.label, face.picture) for face in row), *blank])
        lines.append([*(markdown_text(f"{face.label}: {_said_of(face)}") for face in row), *blank])
    return markdown_table(lines)


def _said_of(face: Face) -> str:
    angle = "no angle" if face.angle is None else f"{face.angle:.1f}\u00b0"
    return f"{angle}, {face.reason.replace('_', ' ')}"


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    return markdown_records(rows) if rows else ""


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"
