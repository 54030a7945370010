"""``report.html``: what came in, what was removed and why, and what that gained; one file, no scripts."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.figure import Figure
from PIL import Image

from purify.errors import PurifyError
from purify.evaluation.detection import score_verdicts
from purify.manifest.blobs import BlobReader
from purify.manifest.decode import decode_rgb
from purify.manifest.io import atomic_path, read_json, read_table
from purify.manifest.schema import CLASS_REPORT, MANIFEST, VERDICTS, Decision, Status
from purify.report.figures import angle_histogram, data_url, png_bytes, roc
from purify.run_folder import RunFolder

_FACES = 36
_CLASSES = 15
_THUMBNAIL = 80
_TEMPLATE = "template.html"


@dataclass(frozen=True)
class Face:
    """A thumbnail and what is said of it."""

    picture: str
    label: str
    caption: str


def write_report(folder: Path) -> Path:
    """Write ``report.html`` of the run in `folder`; returns its path.

    Verification is shown if the run has come that far, figures against truth if the manifest knows it.

    Raises
    ------
    InputError
        If the folder holds no verdicts.
    """
    run = RunFolder(folder)
    manifest = read_table(run.manifest, MANIFEST)
    verdicts = read_table(run.verdicts, VERDICTS)
    info = read_json(run.info) if run.info.exists() else {}
    evaluation = read_json(run.evaluation) if run.evaluation.exists() else None
    page = (
        _environment()
        .get_template(_TEMPLATE)
        .render(
            name=folder.resolve().name,
            info=info,
            counts=_counts(manifest, verdicts),
            truth=truth_figures(manifest, verdicts),
            reasons=_reasons(verdicts),
            unusable=_unusable(manifest),
            histogram=data_url(png_bytes(run_histogram(manifest, verdicts, info)), "png"),
            classes=_worst_classes(read_table(run.class_report, CLASS_REPORT)),
            removed=_faces(manifest, _removed_first(verdicts)),
            borderline=_faces(manifest, _borderline(verdicts)),
            evaluation=evaluation,
            roc=_roc(evaluation),
        )
    )
    with atomic_path(run.report) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return run.report


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("purify.report", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )


def truth_figures(manifest: pa.Table, verdicts: pa.Table) -> dict[str, Any] | None:
    """Noise-detection figures of the verdicts, or None where the manifest does not know the truth."""
    if manifest["true_label"].null_count == len(manifest):
        return None
    return score_verdicts(verdicts, manifest.select(["sample_id", "true_label"]))


def _counts(manifest: pa.Table, verdicts: pa.Table) -> dict[str, int]:
    kept = pc.sum(pc.is_in(verdicts["decision"], pa.array([Decision.KEEP.value, Decision.RELABEL.value]))).as_py() or 0
    return {
        "samples": len(manifest),
        "labels": len(pc.unique(manifest["label"])),
        "not readable": len(manifest) - len(verdicts),
        "kept": kept,
        "removed": len(verdicts) - kept,
    }


def _reasons(verdicts: pa.Table) -> list[dict[str, Any]]:
    table = verdicts.group_by(["decision", "reason"]).aggregate([([], "count_all")])
    return sorted(table.to_pylist(), key=lambda row: -row["count_all"])


def _unusable(manifest: pa.Table) -> list[dict[str, str]]:
    rows = manifest.filter(pc.not_equal(manifest["status"], Status.OK.value))
    return rows.select(["sample_id", "status", "status_reason"]).slice(0, 50).to_pylist()


def _wrong(manifest: pa.Table, verdicts: pa.Table) -> np.ndarray | None:
    if manifest["true_label"].null_count:
        return None
    wrong = dict(
        zip(
            manifest["sample_id"].to_pylist(),
            pc.not_equal(manifest["label"], manifest["true_label"]).to_pylist(),
            strict=True,
        )
    )
    return np.array([wrong[sample] for sample in verdicts["sample_id"].to_pylist()], dtype=bool)


def run_histogram(manifest: pa.Table, verdicts: pa.Table, info: dict[str, Any]) -> Figure:
    """Angles to the dominant sub-center, with the run's threshold, and the truth where the manifest knows it."""
    threshold = info.get("config", {}).get("analyze", {}).get("threshold", 75.0)
    degrees = verdicts["angle_dominant"].to_numpy()
    return angle_histogram(degrees, wrong=_wrong(manifest, verdicts), threshold=threshold)


def _worst_classes(report: pa.Table) -> list[dict[str, Any]]:
    columns = ["label", "n", "n_kept", "dominant_share", "noise_rate", "flag"]
    return report.select(columns).sort_by([("noise_rate", "descending"), ("label", "ascending")]).to_pylist()[:_CLASSES]


def _removed_first(verdicts: pa.Table) -> pa.Table:
    gone = verdicts.filter(pc.equal(verdicts["decision"], Decision.DROP.value))
    return gone.sort_by([("p_clean", "ascending"), ("sample_id", "ascending")]).slice(0, _FACES)


def _borderline(verdicts: pa.Table) -> pa.Table:
    kept = verdicts.filter(pc.equal(verdicts["decision"], Decision.KEEP.value))
    return kept.sort_by([("p_clean", "ascending"), ("sample_id", "ascending")]).slice(0, _FACES)


def _faces(manifest: pa.Table, rows: pa.Table) -> list[Face]:
    """Thumbnails of `rows`; those whose image is not at hand are left out."""
    wanted = rows["sample_id"].to_pylist()
    found = manifest.filter(pc.is_in(manifest["sample_id"], pa.array(wanted, pa.string())))
    uris = dict(zip(found["sample_id"].to_pylist(), found["uri"].to_pylist(), strict=True))
    faces = []
    with BlobReader() as reader:
        for row in rows.to_pylist():
            if picture := _thumbnail(reader, uris[row["sample_id"]]):
                caption = f"{row['angle_dominant']:.0f} degrees, {row['reason'].replace('_', ' ')}"
                faces.append(Face(picture, row["label"], caption))
    return faces


def _thumbnail(reader: BlobReader, uri: str | None) -> str | None:
    if uri is None:
        return None
    try:
        pixels = decode_rgb(reader.read(uri), _THUMBNAIL)
    except (PurifyError, OSError, ValueError):
        return None
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=80)
    return data_url(buffer.getvalue(), "jpeg")


def _roc(evaluation: dict[str, Any] | None) -> str | None:
    if evaluation is None:
        return None
    curves = {name: model["roc"] for name, model in evaluation["models"].items()}
    return data_url(png_bytes(roc(curves)), "png")
