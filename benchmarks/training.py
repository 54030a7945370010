"""Speed and memory of training, beside rivals: ``python -m benchmarks.training --help``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# Before torch loads, here and in the measured processes: spinning threads slow everything else down.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import click
from rich.table import Table

from benchmarks.answers import console, give
from benchmarks.head import HEADS, HeadCase
from benchmarks.input import InputCase, input_table, run_input
from benchmarks.ranks import ranks_table, run_ranks
from purify.errors import PurifyError
from purify.version import __version__

_RIVAL, _RIVAL_MODULE = "pytorch-metric-learning", "pytorch_metric_learning"
_MEASURES = ("gradient_seconds", "gradient_peak_bytes", "update_seconds", "update_peak_bytes")
_REPOSITORY = Path(__file__).resolve().parents[1]
_WIDTH = 120
_HEAD_STEPS, _INPUT_STEPS = 3, 12


def run_heads(case: HeadCase) -> dict[str, Any]:
    """Measure each head of `benchmarks.head.HEADS` in a process of its own.

    Returns
    -------
    dict
        ``case``; ``versions``; ``heads``: name -> measures; ``ratios``: ``dense_to_rival`` (smaller is better for
        us) and ``dense_to_sampled`` (larger: the gain of sampling), name of the measure -> ratio. A rival that is
        not installed is left out.

    Raises
    ------
    PurifyError
        If a process fails.
    """
    names = [name for name in HEADS if name != _RIVAL or find_spec(_RIVAL_MODULE)]
    heads = {name: _measured(replace(case, head=name)) for name in names}
    ratios = {"dense_to_sampled": _ratios(heads["dense"], heads["sampled"])}
    versions = {"purify": __version__, "torch": version("torch")}
    if _RIVAL in heads:
        ratios["dense_to_rival"] = _ratios(heads["dense"], heads[_RIVAL])
        versions[_RIVAL] = version(_RIVAL)
    shared = {key: value for key, value in asdict(case).items() if key != "head"}
    return {"case": shared, "versions": versions, "heads": heads, "ratios": ratios}


def _measured(case: HeadCase) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.head", json.dumps(asdict(case))],
        cwd=_REPOSITORY,
        env=os.environ | {"OMP_NUM_THREADS": str(case.threads)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise PurifyError(f"{case.head}: exit code {done.returncode}: {done.stderr.strip()[-500:]}")
    answer = json.loads(done.stdout)
    return {measure: answer[measure] for measure in _MEASURES}


def _ratios(ours: Mapping[str, float], theirs: Mapping[str, float]) -> dict[str, float]:
    return {measure: ours[measure] / theirs[measure] for measure in _MEASURES}


def head_table(answer: Mapping[str, Any]) -> Table:
    """The measures of `run_heads`, one row per head, and their ratios."""
    case = answer["case"]
    table = Table(
        title=f"{case['classes']:,} classes x K = {case['subcenters']} x {case['dim']}, batch {case['batch']}, "
        f"threads: {case['threads']}; sampled: {case['rate']:g} of the other classes",
        title_justify="left",
    )
    table.add_column("head", no_wrap=True)
    for title in ("forward + backward, s", "peak, GiB", "with the update, s", "peak, GiB"):
        table.add_column(title, justify="right")
    for name, measures in answer["heads"].items():
        table.add_row(name, *_cells(measures, gib=2**30))
    for name, ratios in answer["ratios"].items():
        table.add_row(name.replace("_", " "), *_cells(ratios, gib=1))
    return table


def _cells(measures: Mapping[str, float], *, gib: int) -> Sequence[str]:
    return [f"{measures[key] / (gib if key.endswith('bytes') else 1):.2f}" for key in _MEASURES]


def _head_part(
    source: Path | None, rounds: int, steps: int | None, sizes: dict[str, Any]
) -> tuple[dict[str, Any], Table]:
    answer = run_heads(HeadCase(head="", steps=steps or _HEAD_STEPS, **sizes))
    return answer, head_table(answer)


def _input_part(
    source: Path | None, rounds: int, steps: int | None, sizes: dict[str, Any]
) -> tuple[dict[str, Any], Table]:
    case = InputCase(steps=steps or _INPUT_STEPS, rounds=rounds, threads=sizes["threads"], seed=sizes["seed"])
    answer = run_input(case, source)
    return answer, input_table(answer)


def _ranks_part(
    source: Path | None, rounds: int, steps: int | None, sizes: dict[str, Any]
) -> tuple[dict[str, Any], Table]:
    answer = run_ranks(HeadCase(head="dense", steps=steps or _HEAD_STEPS, **sizes))
    return answer, ranks_table(answer)


_PARTS = {"head": _head_part, "input": _input_part, "ranks": _ranks_part}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--part", type=click.Choice(list(_PARTS)), default="head", show_default=True, help="What to measure.")
@click.option("--classes", type=click.IntRange(2), default=100_000, show_default=True, help="Of the head.")
@click.option("--subcenters", type=click.IntRange(1), default=3, show_default=True, help="K of the head.")
@click.option("--dim", type=click.IntRange(1), default=512, show_default=True, help="Of the head.")
@click.option("--batch", type=click.IntRange(1), default=128, show_default=True, help="Of the head.")
@click.option(
    "--rate", type=click.FloatRange(0, 1, min_open=True), default=0.1, show_default=True, help="Of the sampled head."
)
@click.option(
    "--source",
    type=click.Path(exists=True, path_type=Path),
    help="Of the input: folder or tar of label/image; default: the demo set.",
)
@click.option("--rounds", type=click.IntRange(1), default=8, show_default=True, help="Of the input; the median counts.")
@click.option(
    "--steps",
    type=click.IntRange(1),
    help=f"Timed steps (default: head {_HEAD_STEPS}, of which the median counts; input {_INPUT_STEPS} a round).",
)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="That compute.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for the JSON; else it is printed."
)
def main(part: str, source: Path | None, rounds: int, steps: int | None, out: Path | None, **sizes: Any) -> None:
    """Time of a training step: of its head (and its peak memory; ranks: divided over processes), or of its input."""
    try:
        answer, table = _PARTS[part](source, rounds, steps, sizes)
    except PurifyError as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(error.exit_code) from error
    console(_WIDTH).print(table)
    give({"part": part} | answer, None if out is None else out / f"training-{part}.json")


if __name__ == "__main__":
    main()
