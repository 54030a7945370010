"""Removals at other settings: rows of the page's table and data for its sliders."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from purify.report import label_angles
from purify.report.run_tables import RunTables
from purify.report.sweeps import Sweep

_ANGLES = (60.0, 65.0, 70.0, 75.0, 80.0, 85.0, 90.0)
_PRECISIONS = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999)
_DEFAULT_PRECISION = 0.95


def setting_values(run: RunTables) -> dict[str, Any]:
    """``angle_rows``, ``precision_rows``, slider positions, and ``sweeps`` for the script."""
    images = len(run.verdicts)
    by_rule = label_angles.angle_sweeps(run.manifest, run.verdicts, calibrated=run.calibrated)
    precision = label_angles.precision_settings(run.manifest, run.verdicts) if run.calibrated else None
    at = by_rule["official"].at
    return {
        "angle_rows": [
            row for name, sweep in by_rule.items() for row in _rows(sweep, _ANGLES, images, f"{name}, {{:g}}\u00b0")
        ],
        "angle_steps": len(at) - 1,
        "angle_start": _nearest(at, run.threshold),
        "precision_rows": _rows(precision, _PRECISIONS, images, "calibrated, precision {:g}") if precision else [],
        "precision_steps": len(precision.at) - 1 if precision else 0,
        "precision_start": _nearest(precision.at, _DEFAULT_PRECISION) if precision and len(precision.at) else 0,
        "sweeps": {
            "images": images,
            "angle": {"at": at.tolist(), **{name: _plain(sweep) for name, sweep in by_rule.items()}},
            "precision": {"at": precision.at.tolist(), **_plain(precision)} if precision else None,
        },
    }


def script_data(sweeps: dict[str, Any], axis: dict[str, float]) -> str:
    """JSON for the sliders: the sweeps, and the position of the histogram's axis in its image."""
    return json.dumps({**sweeps, "axis": axis}, separators=(",", ":"), allow_nan=False)


def _rows(sweep: Sweep, wanted: tuple[float, ...], images: int, words: str) -> list[dict[str, Any]]:
    places = [(value, int(np.argmin(np.abs(sweep.at - value)))) for value in wanted if len(sweep.at)]
    return [_row(sweep, i, images, words.format(value)) for value, i in places if math.isclose(sweep.at[i], value)]


def _row(sweep: Sweep, i: int, images: int, setting: str) -> dict[str, Any]:
    removed = int(sweep.removed[i])
    row: dict[str, Any] = {"setting": setting, "removed": removed, "share": removed / images if images else None}
    if sweep.expected_wrong is not None:
        wrong = float(sweep.expected_wrong[i])
        row |= {"wrong": wrong, "lost": removed - wrong}
    if sweep.precision is not None and sweep.recall is not None:
        row |= {"precision": _defined(sweep.precision[i]), "recall": _defined(sweep.recall[i])}
    return row


def _plain(sweep: Sweep) -> dict[str, Any]:
    """The sweep as JSON values, without its settings."""
    values: dict[str, Any] = {"removed": sweep.removed.tolist()}
    if sweep.expected_wrong is not None:
        values["wrong"] = np.round(sweep.expected_wrong, 1).tolist()
    if sweep.precision is not None and sweep.recall is not None:
        values["precision"] = [_defined(value) for value in np.round(sweep.precision, 4)]
        values["recall"] = [_defined(value) for value in np.round(sweep.recall, 4)]
    return values


def _nearest(at: np.ndarray, value: float) -> int:
    return int(np.argmin(np.abs(at - value)))


def _defined(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
