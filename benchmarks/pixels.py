"""Whole runs from pixels on sets with truth, over several seeds: ``python -m benchmarks.pixels --help``.

What is found of the noise, how much of the gap between the raw and the truly clean set is closed, with the spread over
the seeds, and how many images the rounds trained on in comparison with the first.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

# Before torch loads, here and in the trainings: spinning threads slow everything else down.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import purify
from benchmarks.recipes import FACES
from purify.config import PurifyConfig
from purify.config_files import load_config
from purify.errors import PurifyError
from purify.storage.files import atomic_path, read_json, write_json, write_table
from purify.storage.run_folder import RunFolder

#: Share of wrong labels of the drawn scenario, all of them flips.
_FLIPS = 0.45
FLIPS = "flips45"
_FIGURES = {
    "average_precision": "AP",
    "f1": "F1",
    "clean_kept": "right kept",
    "gap_closed": "gap closed",
    "trained_on": "trained on",
}


def draw_flips(clean: pa.Table, share: float, seed: int) -> pa.Table:
    """``path, label, true_label`` of a clean set, with a share of its labels replaced by any other, each as likely."""
    rng, count = np.random.default_rng([seed, 45]), len(clean)
    names, person = np.unique(np.asarray(clean["label"].to_pylist(), dtype=object), return_inverse=True)
    label, flipped = person.copy(), rng.permutation(count)[: round(share * count)]
    label[flipped] = (label[flipped] + rng.integers(1, len(names), size=len(flipped))) % len(names)
    columns = {"path": clean["path"].to_pylist(), "label": names[label].tolist(), "true_label": names[person].tolist()}
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})


def figures_of(run: RunFolder) -> dict[str, float | None]:
    """Figures of a finished run by name; ``trained_on`` counts its rounds' training images in units of the first's.

    ``gap_closed`` is None without pairs, or where the oracle is not clearly better than raw.
    """
    info = read_json(run.info)
    images = [pq.read_metadata(run.round(entry["round"]).training_table).num_rows for entry in info["rounds"]]
    gap = read_json(run.evaluation).get("gap_closed") if run.evaluation.exists() else None
    truth = {name: info["truth"][name] for name in ("average_precision", "f1", "clean_kept")}
    return {**truth, "gap_closed": gap["auc"]["value"] if gap else None, "trained_on": sum(images) / images[0]}


def summarize(cells: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean, standard deviation, least and largest of each figure over the seeds of a scenario."""
    found: dict[str, Any] = {}
    for name in _FIGURES:
        values = [cell[name] for cell in cells if cell[name] is not None]
        spread = stdev(values) if len(values) > 1 else None
        found[name] = {"mean": mean(values), "std": spread, "range": [min(values), max(values)]} if values else None
    return found


def markdown(answer: Mapping[str, Any]) -> str:
    """A table with a line for each run, and one for each scenario."""
    lines = [f"| scenario | seed | {' | '.join(_FIGURES.values())} |", "|" + " --- |" * (len(_FIGURES) + 2)]
    for scenario, part in answer["scenarios"].items():
        for cell in part["runs"]:
            values = ["-" if cell[name] is None else f"{cell[name]:.3f}" for name in _FIGURES]
            lines.append(f"| {scenario} | {cell['seed']} | {' | '.join(values)} |")
        lines.append(f"| {scenario} | mean ± std | {' | '.join(map(_mean_text, part['summary'].values()))} |")
    return "\n".join(lines) + "\n"


def _mean_text(figure: Mapping[str, Any] | None) -> str:
    if figure is None:
        return "-"
    return f"{figure['mean']:.3f}" + ("" if figure["std"] is None else f" ± {figure['std']:.3f}")


def measure(
    scenarios: Sequence[str], seeds: Sequence[int], faces: Path, overrides: Sequence[str], out: Path
) -> dict[str, Any]:
    """Run each scenario with each seed in `out`; a run that is there is brought up to date."""
    answer: dict[str, Any] = {"settings": list(overrides), "scenarios": {}}
    for scenario in scenarios:
        cells = []
        for seed in seeds:
            config = load_config(None, [f"seed={seed}", *overrides])
            run = purify.run(_table(scenario, seed, faces, out), out / f"{scenario}-{seed}", _with_faces(config, faces))
            cells.append({"seed": seed, **figures_of(run.folder)})
        answer["scenarios"][scenario] = {"runs": cells, "summary": summarize(cells)}
        write_json(out / "pixels.json", answer)
    return answer


def _with_faces(config: PurifyConfig, faces: Path) -> PurifyConfig:
    images = [str(faces / name) for name in ("lfw112.tar", "celebs112.tar")]
    ingest = config.ingest.model_copy(update={"images": images})
    evaluate = config.evaluate.model_copy(update={"pairs": str(faces / "lfw_pairs.txt")})
    return config.model_copy(update={"ingest": ingest, "evaluate": evaluate})


def _table(scenario: str, seed: int, faces: Path, out: Path) -> Path:
    """The scenario's table; that of `FLIPS` is drawn, with the seed of the run."""
    if scenario != FLIPS:
        return faces / "noisy" / f"{scenario}.parquet"
    path = out / f"{scenario}-{seed}.parquet"
    write_table(draw_flips(pq.read_table(faces / "noisy" / "clean.parquet"), _FLIPS, seed), path)
    return path


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--faces",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=FACES,
    help="Folder with lfw112.tar, celebs112.tar, lfw_pairs.txt and noisy/. Default: PURIFY_FACES, or ../shared/faces.",
)
@click.option(
    "--scenario",
    "scenarios",
    multiple=True,
    default=("mixed35", FLIPS),
    show_default=True,
    help=f"Table of noisy/, or {FLIPS}: its clean people with 45 % flips, drawn with the run's seed. Repeatable.",
)
@click.option("--seed", "seeds", type=click.IntRange(0), multiple=True, default=(0, 1, 2), show_default=True)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a setting. Repeatable.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of the runs.")
def main(
    faces: Path, scenarios: tuple[str, ...], seeds: tuple[int, ...], overrides: tuple[str, ...], out: Path
) -> None:
    """Noise found, gap closed and rounds' cost of runs with the defaults, and their spread over the seeds."""
    try:
        answer = measure(scenarios, seeds, faces, overrides, out)
        with atomic_path(out / "pixels.md") as temporary:
            temporary.write_text(markdown(answer), encoding="utf-8")
    except PurifyError as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(error.exit_code) from error
    click.echo(json.dumps(answer, indent=2))


if __name__ == "__main__":
    main()
