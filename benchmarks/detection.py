"""Label-noise detection, rivals side by side on the same embeddings: ``python -m benchmarks.detection --help``."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

# Before torch or FAISS load: spinning OpenMP threads slow everything else down.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import click

from benchmarks.figures import method_figures
from benchmarks.lfw import make_scenarios
from benchmarks.methods import Method, all_methods
from benchmarks.natural import surest
from benchmarks.results import show, write_results
from benchmarks.scenarios import Scenario, read_scenario, scenario_files
from benchmarks.sizes import figures_by_size
from purify.errors import InputError, PurifyError
from purify.progress import Progress, progress_board, silent
from purify.storage.files import sha256_file
from purify.version import __version__

_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "faces"
_FACES = Path(os.environ.get("PURIFY_FACES", _BESIDE))
_PACKAGES = ("cleanlab", "faiss-cpu", "numpy", "pyarrow", "pytorch-metric-learning", "scikit-learn", "torch")


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
        ``seed``, ``versions``, ``embeddings`` (file name and SHA-256); ``skipped``: method -> why it did not run;
        ``scenarios``: name -> ``rows``, ``labels``, ``kinds``, ``sha256`` and ``methods``: name -> figures, also
        ``by_size`` of the labels; and the ``surest`` findings of a set as published.

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
    figures = method_figures(scores, scenario.truth) | {"seconds": round(seconds, 3)}
    figures["by_size"] = figures_by_size(scores, scenario)
    return figures if scenario.truth.known.any() else figures | {"surest": surest(scenario, scores)}


def _lfw_images() -> Path | None:
    path = _FACES / "lfw112.tar"
    return path if path.exists() else None


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


@contextmanager
def all_scenarios(folder: Path, embeddings: Path, *, seeds: range, out: Path | None) -> Iterator[dict[str, Path]]:
    """The tables in `folder`, and those made of LFW, if the `embeddings` have it: in `out`, else for the time being."""
    with ExitStack() as stack:
        place = Path(stack.enter_context(TemporaryDirectory())) if out is None else out / "scenarios"
        yield scenario_files(folder) | make_scenarios(embeddings, place, seeds)


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
@click.option(
    "--images",
    type=click.Path(exists=True, path_type=Path),
    help="Folder or tar of LFW's images, for the contact sheets in --out. Default: lfw112.tar beside noisy/, "
    "if it is there.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of every random draw.")
@click.option(
    "--draws",
    type=click.IntRange(0),
    default=2,
    show_default=True,
    help="Draws of each scenario made of LFW, with --seed and the seeds after it; their names end in theirs.",
)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for all that is written.")
@click.option("--list", "listing", is_flag=True, help="List the methods and scenarios, and stop.")
def main(
    folder: Path,
    embeddings: Path,
    images: Path | None,
    only: tuple[str, ...],
    seed: int,
    draws: int,
    out: Path | None,
    listing: bool,
) -> None:
    """How well each method finds wrong labels: the same embeddings, labels and rows for all."""
    try:
        with all_scenarios(folder, embeddings, seeds=range(seed, seed + draws), out=out) as found:
            scenarios, methods = choose(only, found, all_methods())
            if listing:
                click.echo("methods:   " + ", ".join(method.name for method in methods))
                click.echo("scenarios: " + ", ".join(scenarios))
                return
            with progress_board() as board:
                answer = run_benchmark(scenarios, embeddings, methods, seed=seed, progress=board.stage("detection"))
            if out is not None:
                write_results(answer, out, tables=scenarios, images=images or _lfw_images())
    except PurifyError as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(error.exit_code) from error
    show(answer)


if __name__ == "__main__":
    main()
