"""Training recipes on noisy sets with truth, side by side: ``python -m benchmarks.recipes --help``."""

from __future__ import annotations

import json
import os
import resource
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

# Before torch loads, here and in the trainings: spinning threads slow everything else down.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import click
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from purify.config import PurifyConfig
from purify.config_files import load_config
from purify.errors import InputError, PurifyError, TrainingCollapsedError
from purify.evaluation.detection import average_precision, score_verdicts
from purify.evaluation.verification import auc
from purify.ingest.image_roots import ImageRoots
from purify.ingest.ingest import ingest
from purify.pipeline.embedding_stage import embed_manifest
from purify.pipeline.manifest_analysis import analyze_manifest
from purify.pipeline.model_comparison import pair_scores, usable_pairs
from purify.pipeline.training_stage import train_job
from purify.progress import Progress, progress_board, silent
from purify.storage.files import atomic_path, read_json, read_table, sha256_file, write_json, write_table
from purify.tables.manifest import load_truth, ok_rows
from purify.tables.schema import MANIFEST
from purify.training.launcher import run_job
from purify.version import __version__

_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "faces"
#: Folder of the face sets.
FACES = Path(os.environ.get("PURIFY_FACES", _BESIDE))
#: Cosine above which a negative is ignored: the value of InsightFace's published configurations (WF12M with conflicts).
FILTER = 0.4
SAMPLE_RATE = 0.1
_SCENARIOS = ("mixed35", "closed40", "open40")
_SUBCENTERS = (1, 3, 5)
_DENSE = 1.0


@dataclass(frozen=True)
class Recipe:
    """A cell of the matrix: a scenario, and settings of the training."""

    scenario: str
    subcenters: int
    negative_filter: float | None = None
    sample_rate: float = _DENSE
    seed: int = 0

    @property
    def name(self) -> str:
        """Name of its folder."""
        filtered = "" if self.negative_filter is None else f"-filter{self.negative_filter:g}"
        sampled = "" if self.sample_rate == _DENSE else f"-sampled{self.sample_rate:g}"
        return f"{self.scenario}-k{self.subcenters}{filtered}{sampled}-seed{self.seed}"


def matrix(seed: int) -> list[Recipe]:
    """Every scenario with every K, with and without the filter; and a sampled head beside the default recipe's."""
    cells = product(_SCENARIOS, _SUBCENTERS, (None, FILTER))
    recipes = [Recipe(scenario, k, threshold, seed=seed) for scenario, k, threshold in cells]
    return [*recipes, Recipe("mixed35", 3, sample_rate=SAMPLE_RATE, seed=seed)]


@dataclass(frozen=True)
class Inputs:
    """Paths of the images, the scenarios' tables and the verification pairs."""

    images: tuple[Path, ...]
    scenarios: Path
    pairs: Path


def run_recipes(
    recipes: Sequence[Recipe], inputs: Inputs, config: PurifyConfig, out: Path, *, progress: Progress = silent
) -> dict[str, Any]:
    """Run the recipes missing from `out`; an interrupted cell restarts, so that its seconds are complete.

    Returns
    -------
    dict
        ``model`` and ``train`` (settings), ``versions``, ``recipes``: a list of figures (see `run_recipe`).

    Raises
    ------
    InputError
        If `out` holds cells of another configuration or version, or an input can't be read.
    """
    setting = {
        "model": config.model.model_dump(),
        "train": config.train.recipe(),
        "versions": {"purify": __version__, "torch": version("torch")},
    }
    _require_same(out / "setting.json", setting)
    cells = []
    for done, recipe in enumerate(recipes):
        progress(done, len(recipes), recipe.name)
        path = out / recipe.name / "figures.json"
        if not path.is_file():
            shutil.rmtree(path.parent, ignore_errors=True)
            write_json(path, run_recipe(recipe, inputs, config, path.parent))
        cells.append(read_json(path))
    progress(len(recipes), len(recipes))
    return {**setting, "recipes": cells}


def run_recipe(recipe: Recipe, inputs: Inputs, config: PurifyConfig, folder: Path) -> dict[str, Any]:
    """Train, embed, judge and verify one cell, in `folder`.

    Returns
    -------
    dict
        The recipe's fields; ``images``; ``collapsed``; ``cpu_seconds`` (user and system) of the training; and, None
        where training collapsed, ``angle_ap``: average precision of the wrong labels ranked by the angle to the
        dominant sub-center, as in the rule official; of the rule calibrated ``calibrated_ap``, ``f1`` and
        ``clean_kept``; ``auc`` on pairs of people not seen in training.
    """
    manifest_path = _manifest(recipe.scenario, inputs, config, folder.parent)
    manifest = read_table(manifest_path, MANIFEST)
    values = {key: getattr(recipe, key) for key in ("subcenters", "negative_filter", "sample_rate")}
    config = config.model_copy(update={"train": config.train.model_copy(update=values), "seed": recipe.seed})
    figures: dict[str, Any] = {**asdict(recipe), "images": len(ok_rows(manifest))}
    job = train_job(manifest_path, folder, config, subcenters=recipe.subcenters)
    before = _children_seconds()
    try:
        run_job(replace(job, threads=1))
    except TrainingCollapsedError:
        nothing = dict.fromkeys(("angle_ap", "calibrated_ap", "f1", "clean_kept", "auc"))
        return {**figures, "collapsed": True, "cpu_seconds": _children_seconds() - before, **nothing}
    figures |= {"collapsed": False, "cpu_seconds": _children_seconds() - before}
    return {**figures, **_noise_figures(manifest, config, folder), "auc": _unseen_auc(manifest, inputs, config, folder)}


def _noise_figures(manifest: pa.Table, config: PurifyConfig, folder: Path) -> dict[str, Any]:
    embeddings, checkpoint = folder / "embeddings.parquet", folder / "checkpoint"
    embed_manifest(manifest, checkpoint, embeddings, config)
    verdicts = analyze_manifest(manifest, embeddings, config, checkpoint_folder=checkpoint).verdicts
    truth = ok_rows(manifest).select(["sample_id", "true_label"])
    figures = score_verdicts(verdicts, truth)
    wrong = pc.not_equal(verdicts["label"], ok_rows(manifest)["true_label"]).to_numpy().astype(bool)
    angles = verdicts["angle_dominant"].to_numpy().astype(np.float64)
    return {
        "angle_ap": average_precision(angles, wrong),
        "calibrated_ap": figures["average_precision"],
        "f1": figures["f1"],
        "clean_kept": figures["clean_kept"],
    }


def _unseen_auc(manifest: pa.Table, inputs: Inputs, config: PurifyConfig, folder: Path) -> float:
    roots = ImageRoots(inputs.images)
    pairs, _ = usable_pairs(inputs.pairs, roots, manifest, config.evaluate)
    scores = pair_scores(pairs, roots, folder / "checkpoint", config, shards=folder / "pairs.shards")
    return auc(scores, pairs.same)


def _manifest(scenario: str, inputs: Inputs, config: PurifyConfig, out: Path) -> Path:
    """The manifest of a scenario, ingested once; every row has to be a usable image with known truth."""
    table = next(inputs.scenarios.glob(f"{scenario}.*"), inputs.scenarios / f"{scenario}.parquet")
    path = out / f"{scenario}-{sha256_file(table)[:8]}.parquet"
    if not path.is_file():
        write_table(ingest(table, inputs.images, config.ingest), path)
    if load_truth(path)["true_label"].null_count:
        raise InputError(f"{table}: rows without a true label; the figures need the truth of all")
    return path


def _require_same(path: Path, setting: Mapping[str, Any]) -> None:
    plain = json.loads(json.dumps(setting))
    if path.is_file() and read_json(path) != plain:
        raise InputError(f"{path}: the cells there were measured with another setting; give another --out")
    write_json(path, plain)


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def markdown(cells: Iterable[Mapping[str, Any]]) -> str:
    """A table of the figures, one row per cell."""
    titles = ("scenario", "K", "filter", "classes a step", "AP, angle", "AP, calibrated", "F1", "right kept", "AUC")
    lines = [f"| {' | '.join((*titles, 'collapsed', 'CPU s'))} |", "|" + " --- |" * (len(titles) + 2)]
    for cell in cells:
        figures = [_digits(cell[key]) for key in ("angle_ap", "calibrated_ap", "f1", "clean_kept", "auc")]
        sampled = "all" if cell["sample_rate"] == _DENSE else f"{cell['sample_rate']:g} of the others"
        row = [
            cell["scenario"],
            str(cell["subcenters"]),
            "-" if cell["negative_filter"] is None else f"{cell['negative_filter']:g}",
            sampled,
            *figures,
            "yes" if cell["collapsed"] else "no",
            f"{cell['cpu_seconds']:.0f}",
        ]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


def _digits(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--faces",
    type=_FOLDER,
    default=FACES,
    help="Folder with lfw112.tar, celebs112.tar, lfw_pairs.txt and noisy/. Default: PURIFY_FACES, or ../shared/faces.",
)
@click.option("--only", multiple=True, metavar="TEXT", help="Cells with TEXT in their name. Repeatable; default: all.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a setting. Repeatable.")
@click.option("--seed", "seeds", type=click.IntRange(0), multiple=True, default=(0,), show_default=True)
@click.option("--list", "listing", is_flag=True, help="List the cells, and stop.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of the results.")
def main(
    faces: Path, only: tuple[str, ...], overrides: tuple[str, ...], seeds: tuple[int, ...], listing: bool, out: Path
) -> None:
    """Noise ranking, verification and seconds of each recipe; what OUT holds already is not done again."""
    recipes = [r for seed in seeds for r in matrix(seed) if not only or any(text in r.name for text in only)]
    if listing:
        click.echo("\n".join(recipe.name for recipe in recipes))
        return
    inputs = Inputs((faces / "lfw112.tar", faces / "celebs112.tar"), faces / "noisy", faces / "lfw_pairs.txt")
    try:
        config = load_config(None, overrides)
        with progress_board() as board:
            answer = run_recipes(recipes, inputs, config, out, progress=board.stage("recipes"))
        write_json(out / "recipes.json", answer)
        with atomic_path(out / "recipes.md") as temporary:
            temporary.write_text(markdown(answer["recipes"]), encoding="utf-8")
    except PurifyError as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(error.exit_code) from error
    click.echo(json.dumps(answer, indent=2))


if __name__ == "__main__":
    main()
