"""``report.html``: what came in, what was removed and why, and what that gained; one file, no scripts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pyarrow as pa
from matplotlib.figure import Figure

from purify.manifest.io import atomic_path, read_json, read_table
from purify.manifest.schema import CLASS_REPORT, MANIFEST, VERDICTS
from purify.report import tables
from purify.report.figures import angle_histogram, data_url, roc, svg_bytes
from purify.report.tables import truth_figures
from purify.report.thumbnails import faces
from purify.run_folder import RunFolder

__all__ = ["run_histogram", "truth_figures", "write_report"]

_FACES = 36
_TEMPLATE = "template.html"


def write_report(folder: Path) -> Path:
    """Write ``report.html`` of the run in `folder`; returns its path.

    Verification is shown if the run has come that far, figures against truth if the manifest knows it.

    Raises
    ------
    InputError
        If the folder holds no manifest, verdicts or class report, or a damaged one.
    """
    run = RunFolder(folder)
    manifest, verdicts = read_table(run.manifest, MANIFEST), read_table(run.verdicts, VERDICTS)
    info = read_json(run.info) if run.info.exists() else {}
    page = (
        _environment()
        .get_template(_TEMPLATE)
        .render(
            name=folder.resolve().name,
            info=info,
            settings={
                "All settings of this run": _json(info, ("config",)),
                "Versions and inputs": _json(info, ("git_revision", "versions", "embeddings", "input_hashes")),
            },
            rounds=tables.rounds(info),
            **_samples(manifest, verdicts, info),
            **_classes(read_table(run.class_report, CLASS_REPORT)),
            **_verification(read_json(run.evaluation) if run.evaluation.exists() else None),
        )
    )
    with atomic_path(run.report) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return run.report


def run_histogram(manifest: pa.Table, verdicts: pa.Table, info: Mapping[str, Any]) -> Figure:
    """Angles to the dominant sub-center, with the run's threshold, and the truth where the manifest knows it."""
    threshold = info.get("config", {}).get("analyze", {}).get("threshold", 75.0)
    return angle_histogram(tables.angle_groups(manifest, verdicts), threshold=threshold)


def _samples(manifest: pa.Table, verdicts: pa.Table, info: Mapping[str, Any]) -> dict[str, Any]:
    truth = truth_figures(manifest, verdicts)
    return {
        "counts": tables.counts(manifest, verdicts),
        "truth": truth,
        "truth_rows": tables.truth_rows(truth or {}),
        "reasons": tables.reasons(verdicts),
        "unusable": tables.unusable(manifest),
        "histogram": _picture(run_histogram(manifest, verdicts, info)),
        "removed_faces": faces(manifest, tables.surest_removed(verdicts, most=_FACES)),
        "borderline_faces": faces(manifest, tables.least_sure_kept(verdicts, most=_FACES)),
    }


def _classes(report: pa.Table) -> dict[str, Any]:
    return {"classes": tables.worst_classes(report), "flags": tables.flag_counts(report)}


def _verification(evaluation: Mapping[str, Any] | None) -> dict[str, Any]:
    if evaluation is None:
        return {"evaluation": None}
    models = tables.ordered_models(evaluation)
    curves = {name: model["roc"] for name, model in models.items() if model.get("roc")}
    return {
        "evaluation": evaluation,
        "models": models,
        "differences": tables.ordered_differences(evaluation),
        "fars": tables.measured_fars(models),
        "roc": _picture(roc(curves)) if curves else None,
    }


def _picture(figure: Figure) -> str:
    return data_url(svg_bytes(figure), "svg+xml")


def _json(info: Mapping[str, Any], keys: Sequence[str]) -> str:
    return json.dumps({key: info[key] for key in keys if key in info}, indent=2, ensure_ascii=False)


def _environment() -> jinja2.Environment:
    """Everything is escaped; filters write numbers, and a dash for what isn't defined."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("purify.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.ChainableUndefined,
    )
    environment.filters |= {
        "count": _count,
        "decimal": _decimal,
        "percent": _percent,
        "range": _range,
        "duration": _duration,
    }
    return environment


def _count(value: int | None) -> str:
    return f"{value:,}" if _is_number(value) else "-"


def _decimal(value: float | None, digits: int = 4, *, signed: bool = False) -> str:
    return f"{value:{'+' if signed else ''}.{digits}f}" if _is_number(value) else "-"


def _percent(value: float | None, digits: int = 1) -> str:
    return f"{100 * value:.{digits}f}\u00a0%" if value is not None and _is_number(value) else "-"


def _range(interval: tuple[float, float] | None, digits: int = 4, *, signed: bool = False, scale: float = 1) -> str:
    if not isinstance(interval, list | tuple):
        return "-"
    low, high = (_decimal(scale * bound, digits, signed=signed) for bound in interval)
    return f"{low} to {high}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)
