"""Time and size of the report of a large run: ``python -m benchmarks.report --help``."""

from __future__ import annotations

import json
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Before torch or FAISS load: spinning OpenMP threads slow everything else down.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import click
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image
from rich.console import Console
from rich.table import Table

from purify.evaluation.gain import compare_models
from purify.report.html import write_report
from purify.storage.files import write_json, write_table
from purify.storage.locations import file_uri
from purify.storage.run_folder import RunFolder
from purify.tables.schema import CLASS_REPORT, MANIFEST, VERDICTS, Decision, Flag, Reason

_PER_LABEL = 40
_NOISE = 0.3
_PICTURES = 500
_SIDE = 112


def build_run(folder: Path, verdicts: int, *, seed: int) -> RunFolder:
    """Write a run of `verdicts` verdicts, with realistic angles and probabilities, and pictures of noise."""
    rng = np.random.default_rng(seed)
    labels = max(3, verdicts // _PER_LABEL)
    label = np.sort(rng.integers(0, labels, verdicts))
    wrong = rng.uniform(size=verdicts) < _NOISE
    table = _verdicts(label, wrong, labels, rng)
    uris = _draw(folder / "images", rng)
    run = RunFolder(folder / "run")
    write_table(_manifest(table, wrong, uris), run.manifest)
    write_table(table, run.verdicts)
    write_table(_class_report(table, label, labels), run.class_report)
    run.update_info(source="synthetic", config={"analyze": {"rule": "calibrated", "threshold": 75.0}})
    same = np.arange(6000) % 2 == 0
    scores = {name: rng.normal(same * shift, 1) for name, shift in (("raw", 1.0), ("purified", 2.0), ("oracle", 2.2))}
    counts = {"used": 6000, "same": 3000, "different": 3000, "given": 6000, "excluded_identity": 0, "excluded_image": 0}
    trained = dict.fromkeys(scores, verdicts)
    figures = compare_models(scores, same, np.arange(6000) // 600, trained, bootstrap=100, seed=seed)
    write_json(run.evaluation, {"pairs": counts, **figures})
    return run


def measure(run: RunFolder, *, verdicts: int, repeat: int) -> dict[str, Any]:
    """Seconds of the fastest of `repeat` reports, and its size."""
    wall, cpu = min((_timed(lambda: write_report(run.root)) for _ in range(repeat)), key=lambda times: times[0])
    return {
        "verdicts": verdicts,
        "seconds": round(wall, 3),
        "cpu_seconds": round(cpu, 3),
        "megabytes": round(run.report.stat().st_size / 1e6, 3),
        "peak_memory_megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "cores": len(os.sched_getaffinity(0)),
    }


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def _verdicts(
    label: npt.NDArray[np.int64], wrong: npt.NDArray[np.bool_], labels: int, rng: np.random.Generator
) -> pa.Table:
    n = len(label)
    names = np.array([f"person_{i:06d}" for i in range(labels)], object)
    other = names[(label + rng.integers(1, labels, n)) % labels]
    p_clean = np.where(wrong, rng.beta(0.3, 6, n), rng.beta(12, 0.3, n))
    known = wrong & (rng.uniform(size=n) < 0.5)
    second = rng.uniform(size=n) < 0.01
    decision = np.where(
        p_clean >= 0.5, Decision.KEEP.value, np.where(known, Decision.RELABEL.value, Decision.DROP.value)
    )
    reason = np.where(
        p_clean >= 0.5,
        Reason.NEAR_DOMINANT.value,
        np.where(known, Reason.CLOSER_TO_OTHER_LABEL.value, Reason.OPEN_SET.value),
    )
    decision = np.where(second, Decision.REVIEW.value, decision)
    reason = np.where(second, Reason.SECOND_IDENTITY.value, reason)
    relabeled = decision == Decision.RELABEL.value
    columns = {
        "sample_id": [f"{names[k]}/{i:07d}.jpg" for i, k in enumerate(label)],
        "label": names[label],
        "subcenter": np.where(wrong, rng.integers(0, 3, n), 0),
        "angle": np.where(wrong, rng.normal(85, 7, n), rng.normal(52, 9, n)),
        "dominant": np.zeros(n, np.int32),
        "angle_dominant": np.where(wrong, rng.normal(88, 7, n), rng.normal(53, 9, n)),
        "dominant_share": np.full(n, 0.8),
        "other_label": other,
        "angle_other": rng.normal(80, 8, n),
        "neighbor_agreement": 1 - wrong,
        "p_clean": p_clean,
        "p_other": np.where(known, 0.9, 0.05),
        "decision": decision,
        "new_label": np.where(relabeled, other, None),
        "reason": reason,
        "evidence_ids": pa.nulls(n, pa.list_(pa.string())),
        "rule": ["calibrated/2"] * n,
    }
    return pa.table([pa.array(columns[f.name]).cast(f.type) for f in VERDICTS], schema=VERDICTS)


def _manifest(verdicts: pa.Table, wrong: npt.NDArray[np.bool_], uris: list[str]) -> pa.Table:
    n = len(verdicts)
    columns = {
        "sample_id": verdicts["sample_id"],
        "uri": pa.array([uris[i % len(uris)] for i in range(n)]),
        "label": verdicts["label"],
        "true_label": pa.array(np.where(wrong, "", verdicts["label"].to_numpy())),
        "width": pa.array([_SIDE] * n),
        "height": pa.array([_SIDE] * n),
        "sha256": pa.array([""] * n),
        "status": pa.array(["ok"] * n),
    }
    missing = {field.name: pa.nulls(n, field.type) for field in MANIFEST}
    return pa.table([(missing | columns)[field.name].cast(field.type) for field in MANIFEST], schema=MANIFEST)


def _class_report(verdicts: pa.Table, label: npt.NDArray[np.int64], labels: int) -> pa.Table:
    start = np.searchsorted(label, np.arange(labels + 1))
    names, ids = verdicts["label"].to_pylist(), verdicts["sample_id"].to_pylist()
    kept = verdicts["decision"].to_numpy() == Decision.KEEP.value
    wrong = 1 - verdicts["p_clean"].to_numpy()
    rows: list[dict[str, Any]] = []
    for low, high in zip(start[:-1].tolist(), start[1:].tolist(), strict=True):
        if high - low < 2:
            continue
        mixed = len(rows) % 10 == 0
        middle = (2 * low + high) // 3 + 1
        values = {"label": names[low], "n": high - low, "n_kept": int(kept[low:high].sum()), "dominant_share": 0.8}
        values |= {"noise_rate": float(wrong[low:high].mean()), "flag": (Flag.MIXED if mixed else Flag.OK).value}
        rows.append(values | {"split": [ids[low:middle], ids[middle:high]] if mixed else None})
    return pa.Table.from_pylist(rows, schema=CLASS_REPORT)


def _draw(folder: Path, rng: np.random.Generator) -> list[str]:
    folder.mkdir(parents=True)
    uris = []
    for i in range(_PICTURES):
        path = folder / f"{i}.jpg"
        coarse = rng.integers(0, 255, (14, 14, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC).save(path, quality=90)
        uris.append(file_uri(path.resolve()))
    return uris


@click.command()
@click.option("--verdicts", default=100_000, show_default=True, type=click.IntRange(100))
@click.option("--repeat", default=1, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="JSON file to write.")
def main(verdicts: int, repeat: int, seed: int, out: Path | None) -> None:
    """Build a synthetic run and its report; prints JSON, and a table beside it."""
    with tempfile.TemporaryDirectory(prefix="purify-report-") as folder:
        figures = measure(build_run(Path(folder), verdicts, seed=seed), verdicts=verdicts, repeat=repeat)
    table = Table(title="report.html of a synthetic run")
    for name in figures:
        table.add_column(name.replace("_", " "), justify="right")
    table.add_row(*(str(value) for value in figures.values()))
    Console(stderr=True).print(table)
    if out is not None:
        write_json(out, figures)
    click.echo(json.dumps(figures))


if __name__ == "__main__":
    main()
