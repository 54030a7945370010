"""Commands on results: report, evaluate, score, forget."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from purify.cli.answers import answer
from purify.cli.command import command
from purify.cli.options import (
    ANYTHING_AT,
    FILE_AT,
    RUN_AT,
    config_options,
    image_roots,
    images_option,
    json_option,
    local_copy,
    out_option,
    overrides_of,
)
from purify.storage.locations import Location, is_url, to_location

if TYPE_CHECKING:
    from purify.config import PurifyConfig


@command("report", example="purify report run --images faces/")
@click.argument("run", type=RUN_AT)
@images_option
@click.option("--full-paths", is_flag=True, help="Name the folders above source and files, too.")
def report_command(run: Location, images: tuple[Location, ...], full_paths: bool) -> None:
    """Write RUN/report.html anew.

    With --images, it shows the faces of a run that was made without them.
    """
    from purify.pipeline.damage import name_damage
    from purify.report.html import write_report
    from purify.storage.own_files import folders_in, remove_abandoned
    from purify.storage.run_folder import RunFolder

    folder = RunFolder.at(run)
    folder.pull()
    remove_abandoned(folders_in(folder.root))
    damage = name_damage(folder.report)
    path = write_report(folder.root, images=images, full_paths=full_paths)
    if damage is not None:
        click.echo(f"Warning: {damage}.", err=True)
    folder.publish()
    answer({"report": folder.shown(path)}, as_json=False)


def _named_models(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, Path]:
    models = {}
    for value in values:
        name, equals, place = value.partition("=")
        if not name or not equals or not place:
            raise click.BadParameter(f"{value!r}: expected NAME=PLACE, such as raw=runs/a/checkpoint")
        if name in models:
            raise click.BadParameter(f"{value!r}: there is another model of the name {name}")
        models[name] = _model_at(place)
    return models


def _model_at(place: str) -> Path:
    from purify.pipeline.extractor_choice import DLIB, dlib_weights

    if place == DLIB and not Path(place).exists():
        return dlib_weights()
    if not is_url(place) and not Path(place).exists():
        raise click.BadParameter(f"{place}: no such file or folder, and not {DLIB}")
    return local_copy(to_location(place))


@command(
    "evaluate",
    example="purify evaluate run/manifest.parquet --model a=run/retrain/checkpoint --pairs p.txt --out run",
)
@click.argument("manifest", type=FILE_AT, required=False)
@click.option(
    "--model",
    "models",
    multiple=True,
    required=True,
    callback=_named_models,
    metavar="NAME=PLACE",
    help="Checkpoint to measure; raw, random, purified and oracle are compared. With --protocol also an ONNX file, "
    "weights, embeddings, or the word dlib. Repeatable.",
)
@click.option("--pairs", type=FILE_AT, help="Verification pairs.")
@click.option(
    "--protocol",
    "protocols",
    multiple=True,
    metavar="NAME",
    help="Protocol of the field, such as lfw, ijb-c, megaface (docs/how-to/protocols.md). Repeatable.",
)
@click.option(
    "--data", type=ANYTHING_AT, multiple=True, metavar="PLACE", help="File or folder of the protocols. Repeatable."
)
@images_option
@click.option("--align", is_flag=True, help="The pairs are of photos: find, align and crop their faces first.")
@out_option
@config_options
@json_option
def evaluate_command(
    manifest: Location | None,
    models: dict[str, Path],
    pairs: Location | None,
    protocols: tuple[str, ...],
    data: tuple[Location, ...],
    images: tuple[Location, ...],
    align: bool,
    out: Path,
    config_file: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Checkpoints + pairs -> OUT/evaluation.json.

    Face verification on pairs of people outside the training set MANIFEST. Photos are aligned where the rows of
    MANIFEST are faces cropped from photos, or with --align; their crops are kept in OUT/pair-crops. With --protocol,
    OUT/protocols.json holds the figures of the field's protocols on the files in --data; there MANIFEST is optional.
    """
    from purify.config_files import load_config

    config = load_config(config_file, [*overrides_of({"align.enabled": align or None}), *overrides])
    if bool(protocols) == (pairs is not None):
        raise click.UsageError("give either --pairs, or --protocol with --data")
    if pairs is not None and manifest is None:
        raise click.UsageError("--pairs needs MANIFEST, the training set whose people are left out")
    out.mkdir(parents=True, exist_ok=True)
    asked = _Asked(models, manifest, image_roots(images, config), config, out)
    if pairs is None:
        result = _measure_protocols(asked, protocols, data, quiet=as_json)
    else:
        result = _measure_pairs(asked, pairs, quiet=as_json)
    if as_json:
        answer(result, as_json=True)
    elif pairs is None:
        from purify.report.protocol_rows import protocol_text

        click.echo(protocol_text(result))
    else:
        answer(_shown(result), as_json=False)


@dataclass(frozen=True)
class _Asked:
    """Models to measure, what they were trained on, where images are, and where to write."""

    models: dict[str, Path]
    manifest: Location | None
    roots: list[Location]
    config: PurifyConfig
    out: Path


def _measure_pairs(asked: _Asked, pairs: Location, *, quiet: bool) -> dict[str, Any]:
    from purify.pipeline.model_comparison import evaluate_models
    from purify.progress import progress_board
    from purify.storage.files import read_json
    from purify.tables.manifest import load_manifest

    assert asked.manifest is not None
    trained, path = load_manifest(asked.manifest), asked.out / "evaluation.json"
    with progress_board(quiet=quiet) as board:
        progress = board.stage("evaluate")
        evaluate_models(asked.models, pairs, asked.roots, trained, asked.config, path, progress=progress)
    result: dict[str, Any] = read_json(path)
    if warning := result["pairs"].get("warning"):
        click.echo(f"Warning: {warning}.", err=True)
    return result


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


def _measure_protocols(
    asked: _Asked, protocols: tuple[str, ...], data: tuple[Location, ...], *, quiet: bool
) -> dict[str, Any]:
    from purify.pipeline.protocol_evaluation import evaluate_protocols
    from purify.progress import progress_board
    from purify.tables.manifest import load_manifest

    with progress_board(quiet=quiet) as board:
        return evaluate_protocols(
            asked.models,
            protocols,
            data,
            asked.config,
            asked.out / "protocols.json",
            images=asked.roots,
            manifest=None if asked.manifest is None else load_manifest(asked.manifest),
            progress=board.stage("evaluate"),
        )


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
    from purify.pipeline.forgetting import foreign_files, forget

    receipt = forget(run, names)
    flow_runs = forget_flow_runs(run)
    answer({**asdict(receipt), "flow_runs": flow_runs}, as_json=as_json)
    if receipt.still_in_source:
        click.echo(
            f"Warning: {receipt.still_in_source} of the images are still in the source; remove them there, or the next "
            "update takes them in again.",
            err=True,
        )
    if others := foreign_files(run):
        click.echo(
            f"Warning: {len(others)} files in the run folder are not purify's and were not looked into: "
            f"{', '.join(others[:5])}{' ...' if len(others) > 5 else ''}.",
            err=True,
        )
    if receipt.models_trained_on_them and not as_json:
        click.echo(f"Next: purify run-flow --resume {run}   # trains the models again, without them")
