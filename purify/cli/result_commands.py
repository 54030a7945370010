"""Commands on results: report, evaluate, score, forget."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from purify.cli.answers import answer
from purify.cli.command import command
from purify.cli.options import (
    FILE_AT,
    RUN_AT,
    config_options,
    image_roots,
    images_option,
    json_option,
    local_copy,
    out_option,
)
from purify.storage.locations import Location, is_url, to_location


@command("report", example="purify report run --images faces/")
@click.argument("run", type=RUN_AT)
@images_option
def report_command(run: Location, images: tuple[Location, ...]) -> None:
    """Write RUN/report.html anew.

    With --images, it shows the faces of a run that was made without them.
    """
    from purify.pipeline.damage import name_damage
    from purify.report.html import write_report
    from purify.storage.run_folder import RunFolder

    folder = RunFolder.at(run)
    folder.pull()
    damage = name_damage(folder.report)
    path = write_report(folder.root, images=images)
    if damage is not None:
        click.echo(f"Warning: {damage}.", err=True)
    folder.publish()
    answer({"report": folder.shown(path)}, as_json=False)


def _named_checkpoints(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, Path]:
    models = {}
    for value in values:
        name, equals, folder = value.partition("=")
        if not equals or not (is_url(folder) or Path(folder).is_dir()):
            raise click.BadParameter(f"{value!r}: expected NAME=CHECKPOINT_FOLDER, such as raw=runs/a/checkpoint")
        models[name] = local_copy(to_location(folder))
    return models


@command(
    "evaluate",
    example="purify evaluate run/manifest.parquet --model a=run/retrain/checkpoint --pairs p.txt --out run",
)
@click.argument("manifest", type=FILE_AT)
@click.option(
    "--model",
    "models",
    multiple=True,
    required=True,
    callback=_named_checkpoints,
    metavar="NAME=FOLDER",
    help="Checkpoint to measure; raw, random, purified and oracle are compared. Repeatable.",
)
@click.option("--pairs", type=FILE_AT, required=True, help="Verification pairs.")
@images_option
@out_option
@config_options
@json_option
def evaluate_command(
    manifest: Location,
    models: dict[str, Path],
    pairs: Location,
    images: tuple[Location, ...],
    out: Path,
    config_file: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Checkpoints + pairs -> OUT/evaluation.json.

    Face verification on pairs of people outside the training set MANIFEST.
    """
    from purify.config import load_config
    from purify.pipeline.model_comparison import evaluate_models
    from purify.progress import progress_board
    from purify.storage.files import read_json
    from purify.tables.manifest import load_manifest

    config = load_config(config_file, overrides)
    out.mkdir(parents=True, exist_ok=True)
    roots, path = image_roots(images, config), out / "evaluation.json"
    with progress_board(quiet=as_json) as board:
        evaluate_models(models, pairs, roots, load_manifest(manifest), config, path, progress=board.stage("evaluate"))
    result = read_json(path)
    answer(result if as_json else _shown(result), as_json=as_json)


def _shown(evaluation: dict[str, Any]) -> dict[str, str]:
    """Lines of an evaluation: pairs, models, and which is better where the interval says so."""
    from purify.evaluation.unseen_pairs import left_out

    lines = {"pairs": "; ".join(filter(None, [f"{evaluation['pairs']['used']:,} used", left_out(evaluation["pairs"])]))}
    for name, model in evaluation["models"].items():
        low, high = model["auc_interval"]
        lines[name] = f"AUC {model['auc']:.4f}, 95% interval {low:.4f} to {high:.4f}"
    for name, figures in evaluation["differences"].items():
        low, high = figures["interval"]
        lines[name] = f"{figures['auc']:+.4f}, 95% interval {low:+.4f} to {high:+.4f}: {figures['finding']}"
    return lines


@command("score", example="purify score run/verdicts.parquet --truth truth.csv")
@click.argument("verdicts", type=FILE_AT)
@click.option("--truth", type=FILE_AT, required=True, help="Table with path (or sample_id) and true_label.")
def score_command(verdicts: Location, truth: Location) -> None:
    """Noise-detection figures of VERDICTS as JSON.

    An empty true_label belongs to no class.
    """
    from purify.evaluation.detection import score_verdicts
    from purify.storage.files import read_table
    from purify.tables.manifest import load_truth
    from purify.tables.schema import VERDICTS

    answer(score_verdicts(read_table(verdicts, VERDICTS), load_truth(truth)), as_json=True)


@command("forget", example="purify forget Ben --run runs/faces")
@click.argument("names", metavar="PERSON_OR_ID...", nargs=-1, required=True)
@click.option("--run", "run", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True, help="RUN.")
@json_option
def forget_command(names: tuple[str, ...], run: Path, as_json: bool) -> None:
    """Forget people of RUN by their labels, or images by their ids.

    Their rows leave all tables, their centers all models; what is left is judged again. Prefect's record of the run is
    deleted. A receipt without names is written to RUN/forgotten. Weights have still learned from them until the models
    are trained again.
    """
    from dataclasses import asdict

    from purify.orchestration.forgotten_runs import forget_flow_runs
    from purify.pipeline.forgetting import forget

    receipt = forget(run, names)
    flow_runs = forget_flow_runs(run)
    answer({**asdict(receipt), "flow_runs": flow_runs}, as_json=as_json)
    if receipt.still_in_source:
        click.echo(
            f"Warning: {receipt.still_in_source} of the images are still in the source; remove them there, or the next "
            "update takes them in again.",
            err=True,
        )
    if receipt.models_trained_on_them and not as_json:
        click.echo(f"Next: purify run-flow --resume {run}   # trains the models again, without them")
