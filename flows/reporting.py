"""What a run shows while it works and when it ends: bars on a terminal, artifacts in the Prefect UI."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from flows.artifacts import publish_summary_artifacts, task_progress
from purify.manifest.io import read_json, read_table
from purify.manifest.schema import MANIFEST, VERDICTS
from purify.progress import Progress, ProgressBoard
from purify.report.figures import png_bytes
from purify.report.html import run_histogram
from purify.report.tables import rounds
from purify.run_folder import RunFolder

#: What the summary says of the verdicts where the truth is known; the report says more.
_TRUTH_FIGURES = ("average_precision", "f1", "precision", "recall", "clean_kept")
#: Verification pairs: in the file, left out for a person or an image of the training set, and measured on.
_PAIR_COUNTS = ("given", "excluded_identity", "excluded_image", "used")

_board: ProgressBoard | None = None


@contextmanager
def show_on(board: ProgressBoard) -> Iterator[None]:
    """Let the stages of this process show their progress on `board` too."""
    global _board  # noqa: PLW0603  (flow parameters must be plain values, so the terminal is reached this way)
    _board = board
    try:
        yield
    finally:
        _board = None


def progress_for(stage: str) -> Progress:
    """Progress of `stage`: a bar where there is a terminal, and an artifact of the running task."""
    artifact = task_progress(stage)
    bar = _board.stage(stage) if _board else None

    def report(done: int, total: int, detail: str = "") -> None:
        artifact(done, total, detail)
        if bar is not None:
            bar(done, total, detail)

    return report


def run_summary(run: RunFolder) -> dict[str, Any]:
    """What a run ended with, for people and programs."""
    info = read_json(run.info)
    values: dict[str, Any] = {"run": run.shown(run.root), **info["counts"]}
    if run.evaluation.exists():
        evaluation = read_json(run.evaluation)
        values |= {f"auc_{name}": model["auc"] for name, model in evaluation["models"].items()}
        values |= {f"pairs_{key}": evaluation["pairs"][key] for key in _PAIR_COUNTS}
        gap = evaluation.get("gap_closed")
        values["gap_closed"] = gap["auc"]["value"] if gap else None
    values |= _round_figures(info)
    truth = info.get("truth", {})
    values |= {f"noise_{key}": truth[key] for key in _TRUTH_FIGURES if key in truth}
    return {**values, "report": run.shown(run.report)}


def _round_figures(info: Mapping[str, Any]) -> dict[str, Any]:
    """How the rounds went, where there were more than one or should have been."""
    rows = rounds(info)
    if not rows:
        return {}
    values: dict[str, Any] = {"rounds": len(rows)}
    for row in rows:
        values[f"round_{row['round']}_noise_estimate"] = row["noise_estimate"]
        if row["changed"] is not None:
            values[f"round_{row['round']}_changed"] = row["changed"]
    return {**values, "rounds_stopped_because": f"{rows[-1]['stopped_because']}: {rows[-1]['why_last']}"}


def publish_summary(run: RunFolder) -> None:
    """Show the run's figures and angles as artifacts of the running flow."""
    manifest, verdicts = read_table(run.manifest, MANIFEST), read_table(run.verdicts, VERDICTS)
    angles = png_bytes(run_histogram(manifest, verdicts, read_json(run.info)))
    publish_summary_artifacts("purify", run_summary(run), pictures={"Angles to the dominant sub-center": angles})
