"""Comparison of two runs, or two rounds of a run, on the images that both judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from purify.analysis.round_changes import compare_rounds
from purify.config import RoundsConfig
from purify.errors import InputError
from purify.report.known_truth import truth_figures
from purify.report.run_overview import counts, noise_of
from purify.report.run_tables import RunTables
from purify.tables.schema import Decision

_DECISIONS = tuple(decision.value for decision in Decision)
_TRUTH = ("precision", "recall", "f1", "clean_kept", "residual_noise")


@dataclass(frozen=True)
class RunComparison:
    """Changes from one run to another on their common images.

    `moved` is int64 [before, after], the number of images by the `decisions`; `changes` (schema `CHANGES`) are the
    images with another final label or outcome; `figures` are rows ``figure``, ``before``, ``after`` (None: missing).
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
    pairs = Counter(zip(old["decision"].to_pylist(), new["decision"].to_pylist(), strict=True))
    moved = np.array([[pairs[was, now] for now in _DECISIONS] for was in _DECISIONS], np.int64)
    changes = compare_rounds(2, old, new, RoundsConfig(most=2)).changes
    return RunComparison(_DECISIONS, moved, changes, _figures(before, after))


def _figures(before: RunTables, after: RunTables) -> list[dict[str, Any]]:
    columns = [_of_run(run) for run in (before, after)]
    names = list(dict.fromkeys([*columns[0], *columns[1]]))
    return [{"figure": name, "before": columns[0].get(name), "after": columns[1].get(name)} for name in names]


def _of_run(run: RunTables) -> dict[str, float | int]:
    """The available figures of one run."""
    values: dict[str, float | int] = dict(counts(run.manifest, run.verdicts))
    if noise := noise_of(run.verdicts, calibrated=run.calibrated, bounds=run.noise_bounds):
        values["estimated noise"] = noise.share
    truth = truth_figures(run.manifest, run.verdicts) or {}
    values |= {name.replace("_", " "): truth[name] for name in _TRUTH if truth.get(name) is not None}
    models = (run.evaluation or {}).get("models", {})
    return values | {f"AUC {name}": model["auc"] for name, model in models.items()}
