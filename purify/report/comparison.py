"""Two runs, or two rounds of one, beside each other: what changed, and what it gained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from purify.analysis.round_changes import compare_rounds
from purify.config import PurifyConfig, RoundsConfig
from purify.errors import InputError
from purify.pipeline.manifest_analysis import analyze_manifest
from purify.report.run_tables import RunTables, read_run, run_embeddings
from purify.report.tables import counts, noise_of, truth_figures
from purify.storage.run_folder import RunFolder
from purify.tables.schema import Decision

_DECISIONS = tuple(decision.value for decision in Decision)
_TRUTH = ("precision", "recall", "f1", "clean_kept", "residual_noise")


@dataclass(frozen=True)
class RunComparison:
    """What changed from one run to another on the images that both judged.

    Attributes
    ----------
    decisions
        Names of the rows and columns of `moved`.
    moved
        int64 [before, after]: images by their decisions.
    changes
        Schema `CHANGES`: images whose final label, or whose being kept, is another.
    figures
        Rows ``figure``, ``before``, ``after``; None where one has none.
    """

    decisions: Sequence[str]
    moved: npt.NDArray[np.int64]
    changes: pa.Table
    figures: list[dict[str, Any]]


def compare_runs(before: RunTables, after: RunTables) -> RunComparison:
    """Compare two runs on the images that both judged.

    Raises
    ------
    InputError
        If they have no image in common.
    """
    common = pc.is_in(after.verdicts["sample_id"], before.verdicts["sample_id"].combine_chunks())
    new = after.verdicts.filter(common)
    if not len(new):
        raise InputError(f"{before.name} and {after.name} judged no image in common; compare runs on the same set")
    place = pc.index_in(new["sample_id"].combine_chunks(), before.verdicts["sample_id"].combine_chunks())
    old = before.verdicts.take(place)
    numbers = {name: i for i, name in enumerate(_DECISIONS)}
    moved = np.zeros((len(_DECISIONS),) * 2, np.int64)
    pairs = zip(old["decision"].to_pylist(), new["decision"].to_pylist(), strict=True)
    np.add.at(moved, tuple(np.array([(numbers[a], numbers[b]) for a, b in pairs]).T), 1)
    changes = compare_rounds(2, old, new, RoundsConfig(most=2)).changes
    return RunComparison(_DECISIONS, moved, changes, _figures(before, after))


def run_before(named: str | None, folder: Path | str, after: RunTables) -> RunTables:
    """What to compare a run with.

    The run that is `named`; else the first round of a run with several; else the same embeddings, judged by the fixed
    angle of the rule `official`.
    """
    if named:
        return read_run(named)
    if len(after.info.get("rounds", [])) > 1:
        return read_run(folder, round_number=1)
    return judged_by(folder, after, "official")


def judged_by(folder: Path | str, run: RunTables, rule: str) -> RunTables:
    """The run as another rule would have judged it, from its embeddings and, where there is one, its checkpoint."""
    place = RunFolder(Path(folder)).last_round
    settings = PurifyConfig.model_validate(run.info.get("config", {}))
    config = settings.model_copy(update={"analyze": settings.analyze.model_copy(update={"rule": rule})})
    checkpoint = place.checkpoint if place.checkpoint.exists() else None
    analysis = analyze_manifest(run.manifest, run_embeddings(folder, run), config, checkpoint_folder=checkpoint)
    name = f"{run.name}, rule {rule}"
    return replace(run, name=name, verdicts=analysis.verdicts, class_report=analysis.class_report, evaluation=None)


def _figures(before: RunTables, after: RunTables) -> list[dict[str, Any]]:
    columns = [_of_run(run) for run in (before, after)]
    names = list(dict.fromkeys([*columns[0], *columns[1]]))
    return [{"figure": name, "before": columns[0].get(name), "after": columns[1].get(name)} for name in names]


def _of_run(run: RunTables) -> dict[str, float | int]:
    """Figures of one run, those that it has."""
    values: dict[str, float | int] = dict(counts(run.manifest, run.verdicts))
    if noise := noise_of(run.verdicts, calibrated=run.calibrated):
        values["estimated noise"] = noise.share
    truth = truth_figures(run.manifest, run.verdicts) or {}
    values |= {name.replace("_", " "): truth[name] for name in _TRUTH if truth.get(name) is not None}
    models = (run.evaluation or {}).get("models", {})
    return values | {f"AUC {name}": model["auc"] for name, model in models.items()}
