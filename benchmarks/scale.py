"""Cost of ``purify analyze`` by size, and sizes at which others break: ``python -m benchmarks.scale --help``.

Each case runs in a process of its own on files, as a user would. Times and memory are those of the whole command, from
its start to the verdicts on disk.
"""

from __future__ import annotations

import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import click
import numpy as np
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from benchmarks.scale_sets import DrawnSet
from purify.errors import PurifyError
from purify.storage.files import write_json
from purify.tables.schema import Decision

#: Rows of public sets.
PLANS = {"MS1MV0": 10_000_000, "WebFace260M": 260_000_000}
_GIB = 2**30
_RIVALS = ("pml", "cleanlab", "selfclean", "knn")
_REPOSITORY = Path(__file__).resolve().parents[1]


def measure(drawn: DrawnSet) -> dict[str, Any]:
    """Wall and CPU seconds, peak bytes, and F1 of one analysis of a drawn set."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        drawn.write(place)
        command = [sys.executable, "-m", "purify", "analyze", str(place / "set.parquet"), "--json"]
        command += ["--embeddings", str(place / "embeddings.npy"), "--out", str(place / "run")]
        cost = _run(command)
        decision = pq.read_table(place / "run" / "verdicts.parquet", columns=["decision"])["decision"]
        removed = np.asarray(decision.to_numpy(zero_copy_only=False) != Decision.KEEP.value, bool)
        wrong = drawn.wrong()
        f1 = 2 * float((removed & wrong).sum()) / float(removed.sum() + wrong.sum())
    return {**asdict(drawn), "rows": drawn.rows, **cost, "f1": f1}


def _run(command: Sequence[str]) -> dict[str, float]:
    """Cost of a command, in a process whose children it alone makes."""
    code = (
        "import json, resource, subprocess, sys, time\n"
        "began = time.perf_counter()\n"
        "done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(json.dumps({'seconds': time.perf_counter() - began, 'cpu': used.ru_utime + used.ru_stime, "
        "'peak': used.ru_maxrss * 1024, 'code': done.returncode, 'error': done.stderr[-500:]}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *command], cwd=_REPOSITORY, capture_output=True, text=True, check=True
    )
    answer = json.loads(done.stdout)
    if answer.pop("code"):
        raise PurifyError(f"{' '.join(command)}: {answer['error'].strip()}")
    del answer["error"]
    return dict(answer)


def growth(cases: Sequence[Mapping[str, Any]], name: str) -> float | None:
    """Exponent of the growth of a figure with the rows, by least squares on logarithms; None for a single size."""
    rows = np.log([case["rows"] for case in cases])
    if len(set(rows.tolist())) < 2:
        return None
    return float(np.polyfit(rows, np.log([case[name] for case in cases]), 1)[0])


def plan(case: Mapping[str, Any], exponents: Mapping[str, float | None]) -> dict[str, dict[str, float]]:
    """CPU hours and GiB for the sets of `PLANS` on one machine, from the largest case and the measured growth."""
    found = {}
    for name, rows in PLANS.items():
        times = rows / case["rows"]
        found[name] = {
            "cpu_hours": case["cpu"] * times ** (exponents["cpu"] or 1.0) / 3600,
            "gib": case["peak"] * times ** (exponents["peak"] or 1.0) / _GIB,
        }
    return found


def rival(name: str, drawn: DrawnSet, *, seconds: float, gib: float) -> dict[str, Any]:
    """Cost of a rival on a drawn set, or why it broke: out of the time or the memory that it was given."""
    code = ["-m", "benchmarks.scale", "--measure-rival", name, "--seed", str(drawn.seed)]
    code += ["--labels", str(drawn.labels), "--images", str(drawn.images), "--dim", str(drawn.dim)]
    began = time.perf_counter()
    try:
        done = subprocess.run(
            [sys.executable, *code],
            cwd=_REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (int(gib * _GIB), int(gib * _GIB))),
        )
    except subprocess.TimeoutExpired:
        return {"method": name, "rows": drawn.rows, "labels": drawn.labels, "broke": f"more than {seconds:.0f} s"}
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["killed"]
        return {"method": name, "rows": drawn.rows, "labels": drawn.labels, "broke": lines[-1][:100]}
    return {"method": name, "labels": drawn.labels, "total": time.perf_counter() - began, **json.loads(done.stdout)}


def _measure_rival(name: str, drawn: DrawnSet) -> dict[str, Any]:
    """In a process of its own: seconds of the judging alone, and the peak of the memory."""
    from benchmarks import rivals
    from benchmarks.official_loop import official_loop
    from benchmarks.vectors import LabeledVectors, centered_unit_rows

    judges = {
        "official": official_loop,
        "pml": rivals.subcenter_arcface,
        "cleanlab": rivals.cleanlab_default,
        "selfclean": rivals.selfclean_label_errors,
        "knn": rivals.neighbor_agreement,
    }
    vectors = np.concatenate([block for _, block in drawn.blocks()]).astype(np.float32)
    data = LabeledVectors(centered_unit_rows(vectors), drawn.truth()[0], drawn.labels)
    del vectors
    began, cpu = time.perf_counter(), time.process_time()
    removed, wrong = judges[name](data, drawn.seed).removed, drawn.wrong()
    return {
        "rows": drawn.rows,
        "seconds": time.perf_counter() - began,
        "cpu": time.process_time() - cpu,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "f1": 2 * float((removed & wrong).sum()) / float(removed.sum() + wrong.sum()),
    }


def tables(answer: Mapping[str, Any]) -> list[Table]:
    """Ours by size, the plan, and the rivals."""
    ours = Table("rows", "labels", "dim", "wall s", "CPU s", "peak GiB", "bytes a row", "F1")
    for case in answer["cases"]:
        figures = (case["seconds"], case["cpu"], case["peak"] / _GIB, case["peak"] / case["rows"])
        ours.add_row(
            f"{case['rows']:,}",
            f"{case['labels']:,}",
            str(case["dim"]),
            *(f"{value:,.0f}" if value > 20 else f"{value:.2f}" for value in figures),
            f"{case['f1']:.4f}",
        )
    others = Table("rival", "rows", "labels", "judging s", "CPU s", "peak GiB", "F1")
    for case in answer["rivals"]:
        head = (case["method"], f"{case['rows']:,}", f"{case['labels']:,}")
        if "broke" in case:
            others.add_row(*head, case["broke"])
        else:
            costs = [f"{case['seconds']:.1f}", f"{case['cpu']:.1f}", f"{case['peak'] / _GIB:.2f}"]
            others.add_row(*head, *costs, f"{case['f1']:.4f}")
    plans = Table("set", "CPU hours", "GiB on one machine")
    for name, figures in answer["plans"].items():
        plans.add_row(name, f"{figures['cpu_hours']:,.1f}", f"{figures['gib']:,.0f}")
    return [ours, plans, *([others] if answer["rivals"] else [])]


def run(sizes: Sequence[DrawnSet], rivals: Sequence[str], *, seconds: float, gib: float) -> dict[str, Any]:
    """All cases, growing; a rival that broke is not asked again."""
    answer: dict[str, Any] = {"cases": [], "rivals": []}
    broken: set[str] = set()
    for drawn in sizes:
        answer["cases"].append(measure(drawn))
        for name in rivals:
            if name not in broken:
                answer["rivals"].append(found := rival(name, drawn, seconds=seconds, gib=gib))
                broken.update([name] if "broke" in found else [])
    answer["growth"] = {name: growth(answer["cases"], name) for name in ("cpu", "peak")}
    answer["plans"] = plan(max(answer["cases"], key=lambda case: case["rows"]), answer["growth"])
    return answer


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--labels", type=click.IntRange(3), multiple=True, default=(132, 1322), show_default=True, help="C.")
@click.option("--images", type=click.IntRange(1), default=76, show_default=True, help="Of each label.")
@click.option("--dim", type=click.IntRange(2), default=512, show_default=True, help="Of the embeddings.")
@click.option("--id-length", type=click.IntRange(24), default=24, show_default=True, help="Characters of an id.")
@click.option("--rival", "rivals", multiple=True, type=click.Choice(["official", *_RIVALS]), help="Beside ours.")
@click.option("--seconds", type=float, default=600, show_default=True, help="That a rival may take.")
@click.option("--gib", type=float, default=16, show_default=True, help="Address space that a rival may take.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--measure-rival", type=click.Choice(["official", *_RIVALS]), hidden=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="JSON file of the answer.")
def main(
    labels: tuple[int, ...],
    images: int,
    dim: int,
    id_length: int,
    rivals: tuple[str, ...],
    seconds: float,
    gib: float,
    seed: int,
    measure_rival: str | None,
    out: Path | None,
) -> None:
    """Cost of analyses of drawn sets, its growth, what follows for the large public sets, and rivals at size."""
    sizes = [DrawnSet(count, images, dim, seed, id_length) for count in labels]
    if measure_rival:
        click.echo(json.dumps(_measure_rival(measure_rival, sizes[0])))
        return
    try:
        answer = run(sizes, rivals, seconds=seconds, gib=gib)
    except PurifyError as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(error.exit_code) from error
    for table in tables(answer):
        Console(width=120).print(table)
    for name, exponent in answer["growth"].items():
        if exponent is not None and math.isfinite(exponent):
            click.echo(f"{name} grows with the rows to the power of {exponent:.2f}")
    if out is not None:
        write_json(out, answer)


if __name__ == "__main__":
    main()
