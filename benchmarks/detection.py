"""Label-noise detection, rivals side by side on the same embeddings: ``python -m benchmarks.detection --help``."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

# Before torch or FAISS load: spinning OpenMP threads slow everything else down.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import click
from rich.console import Console

from benchmarks.figures import Results, console_table, markdown, method_figures, picture
from benchmarks.methods import Method, all_methods
from benchmarks.scenarios import Scenario, read_scenario, scenario_files
from purify.errors import InputError, PurifyError
from purify.progress import Progress, progress_board, silent
from purify.report.canvas import png_bytes
from purify.storage.files import atomic_path, sha256_file, write_json
from purify.version import __version__

_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "faces"
_FACES = Path(os.environ.get("PURIFY_FACES", _BESIDE))
_PACKAGES = ("cleanlab", "faiss-cpu", "numpy", "pyarrow", "pytorch-metric-learning", "scikit-learn", "torch")
_WIDTH = 170


def run_benchmark(
    scenarios: Mapping[str, Path],
    embeddings: Path,
    methods: Sequence[Method],
    *,
    seed: int,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Run each of the `methods` on each of the `scenarios` (name -> table).

    Returns
    -------
    dict
        ``seed``, ``versions``, ``embeddings`` (file name and SHA-256); ``skipped``: method -> reason;
        ``scenarios``: name -> ``rows``, ``labels``, ``kinds``, ``sha256`` and ``methods``: name -> figures.

    Raises
    ------
    InputError
        If a scenario or the embeddings can't be read.
    """
    skipped = {method.name: reason for method in methods if (reason := method.missing())}
    runnable = [method for method in methods if method.name not in skipped]
    answers: dict[str, Any] = {}
    for done, (name, table) in enumerate(scenarios.items()):
        scenario = read_scenario(name, table, embeddings)
        figures = {}
        for number, method in enumerate(runnable):
            progress(done * len(runnable) + number, len(scenarios) * len(runnable), f"{name}, {method.name}")
            figures[method.name] = _measure(method, scenario, seed)
        answers[name] = {
            "rows": len(scenario.manifest),
            "labels": scenario.data.classes,
            "kinds": scenario.kinds(),
            "sha256": sha256_file(table),
            "methods": figures,
        }
    progress(len(scenarios) * len(runnable), len(scenarios) * len(runnable))
    return {
        "seed": seed,
        "versions": _versions(),
        "embeddings": {"file": embeddings.name, "sha256": sha256_file(embeddings)},
        "skipped": skipped,
        "scenarios": answers,
    }


def _measure(method: Method, scenario: Scenario, seed: int) -> dict[str, Any]:
    if method.package is not None:
        import_module(method.package)  # the method's time excludes imports
    began = time.perf_counter()
    scores = method.run(scenario, seed)
    seconds = time.perf_counter() - began
    return method_figures(scores, scenario.truth) | {"seconds": round(seconds, 3)}


def _versions() -> dict[str, str | None]:
    """Versions of the packages behind the figures; None: not installed."""
    found: dict[str, str | None] = {"purify": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def choose(
    only: Sequence[str], scenarios: Mapping[str, Path], methods: Mapping[str, Method]
) -> tuple[dict[str, Path], list[Method]]:
    """The scenarios and methods named in `only`; all of a kind if none of it is named.

    Raises
    ------
    InputError
        If a name is neither, or a method that was asked for can't run here.
    """
    if unknown := [name for name in only if name not in scenarios and name not in methods]:
        raise InputError(
            f"--only {unknown[0]}: neither a method nor a scenario; "
            f"methods: {', '.join(methods)}; scenarios: {', '.join(scenarios)}"
        )
    asked = [methods[name] for name in methods if name in only]
    if reasons := [reason for method in asked if (reason := method.missing())]:
        raise InputError(reasons[0])
    some = {name: path for name, path in scenarios.items() if name in only}
    return some or dict(scenarios), asked or list(methods.values())


def write_results(answer: Mapping[str, Any], out: Path) -> None:
    """Write ``detection.json``, ``detection.md`` and ``detection.png`` to the folder `out`."""
    results = _results(answer)
    write_json(out / "detection.json", answer)
    captions = {name: _caption(scenario) for name, scenario in answer["scenarios"].items()}
    with atomic_path(out / "detection.md") as temporary:
        temporary.write_text(markdown(results, captions), encoding="utf-8")
    with atomic_path(out / "detection.png") as temporary:
        temporary.write_bytes(png_bytes(picture(results)))


def _results(answer: Mapping[str, Any]) -> Results:
    return {name: scenario["methods"] for name, scenario in answer["scenarios"].items()}


def _caption(scenario: Mapping[str, Any]) -> str:
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in scenario["kinds"].items())
    return f"{scenario['rows']:,} rows, {scenario['labels']:,} labels" + (f": {kinds}" if kinds else "")


def _show(answer: Mapping[str, Any]) -> None:
    console = Console()
    if not console.is_terminal:  # a file has no width to fit the table into
        console = Console(width=_WIDTH)
    for name, methods in _results(answer).items():
        console.print(console_table(f"{name}: {_caption(answer['scenarios'][name])}", methods))
    for reason in answer["skipped"].values():
        console.print(f"skipped: {reason}", markup=False)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--scenarios",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=_FACES / "noisy",
    help="Folder of Parquet tables with path, label, true_label (and kind). "
    "Default: noisy/ in the folder of real faces (PURIFY_FACES, or ../shared/faces beside the checkout).",
)
@click.option(
    "--embeddings",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=_FACES / "dlib_embeddings.parquet",
    help="Parquet with path (or sample_id) and embedding. Default: dlib_embeddings.parquet beside noisy/.",
)
@click.option("--only", multiple=True, metavar="NAME", help="A method or a scenario to run. Repeatable; default: all.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of every random draw.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for JSON, Markdown and picture.")
@click.option("--list", "listing", is_flag=True, help="List the methods and scenarios, and stop.")
def main(folder: Path, embeddings: Path, only: tuple[str, ...], seed: int, out: Path | None, listing: bool) -> None:
    """How well each method finds wrong labels: the same embeddings, labels and rows for all."""
    try:
        scenarios, methods = choose(only, scenario_files(folder), all_methods())
        if listing:
            click.echo("methods:   " + ", ".join(method.name for method in methods))
            click.echo("scenarios: " + ", ".join(scenarios))
            return
        with progress_board() as board:
            answer = run_benchmark(scenarios, embeddings, methods, seed=seed, progress=board.stage("detection"))
        if out is not None:
            write_results(answer, out)
    except PurifyError as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(error.exit_code) from error
    _show(answer)


if __name__ == "__main__":
    main()
