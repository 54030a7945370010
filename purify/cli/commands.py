"""The command line: thin commands over `purify.pipeline.stages` and the flow. ``purify --help`` is the map."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

# Before torch or FAISS load: OpenMP threads that spin slow everything else down.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import click

from purify import __version__
from purify.cli.deployment import deploy_command, serve_command
from purify.cli.options import (
    ANYTHING_AT,
    CHECKPOINT_AT,
    FILE_AT,
    FOLDER_AT,
    RUN_AT,
    answer,
    config_options,
    decision_options,
    decision_settings,
    image_roots,
    images_option,
    input_settings,
    json_option,
    local_copy,
    out_option,
)
from purify.cli.review import review_command
from purify.config import load_config
from purify.errors import PurifyError
from purify.storage.locations import Location, is_url, to_location


class _Group(click.Group):
    """Turns our errors into one message and an exit code; tracebacks are for our own faults only."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except PurifyError as error:
            _fail(str(error), error.exit_code)
        except KeyboardInterrupt:
            _fail("interrupted; a run goes on with --resume RUN", 130)
        except OSError as error:
            _fail(f"{error.filename or 'file system'}: {error.strerror or error}", 1)


def _fail(message: str, code: int) -> None:
    click.echo(f"Error: {message}", err=True)
    sys.exit(code)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="purify")
def main() -> None:
    r"""Clean a noisy, web-labelled image set by sub-center ArcFace, with a reason for every sample.

    \b
    The whole job:      purify run-flow SOURCE --out runs
    Without a source:   the built-in demo set
    Step by step:       ingest -> train -> embed -> analyze -> apply -> train -> evaluate
    """


@main.command("run-flow")
@click.argument("source", type=ANYTHING_AT, required=False)
@images_option
@click.option("--pairs", type=FILE_AT, help="Verification pairs (LFW text form, or CSV/Parquet with a, b, same).")
@click.option("--embeddings", type=FILE_AT, help="Your own embeddings: skips the first training.")
@click.option(
    "--reviews", type=FILE_AT, help="Reviews of an earlier run (reviews.parquet), which hold in this one too."
)
@decision_options
@click.option("--rounds", type=click.IntRange(1), metavar="N", help="Purify up to N times; overrides rounds.most.")
@click.option("--out", type=FOLDER_AT, default=Path("runs"), show_default=True, help="Folder or URL of the runs.")
@click.option("--name", help="Name of the run's folder; default: source and time.")
@click.option(
    "--resume",
    type=RUN_AT,
    metavar="RUN",
    help="Go on with the run in this folder, or at this URL, and take in what is new in its source.",
)
@click.option(
    "--update", is_flag=True, help="Take in what is new in the run of this --name; start it if there is none."
)
@config_options
@json_option
def run_flow(
    source: Location | None,
    images: tuple[Location, ...],
    pairs: Location | None,
    embeddings: Location | None,
    reviews: Location | None,
    rule: str | None,
    precision: float | None,
    review_budget: int | None,
    keep_hard: bool | None,
    rounds: int | None,
    out: Location,
    name: str | None,
    resume: Location | None,
    update: bool,
    config_file: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Purify SOURCE (folder, .tar, Parquet/CSV table; none: the demo set) and prove the gain."""
    from purify.orchestration.launch import run_request
    from purify.pipeline.request import (
        RunRequest,
        default_name,
        existing_run,
        new_run_folder,
        resumed_request,
        updated_request,
    )

    if resume is not None:
        decisions = decision_settings(rule, precision, review_budget, keep_hard)
        others = [setting for setting in overrides if not setting.startswith("scale.")]
        given = [source, images, pairs, embeddings, reviews, decisions, rounds, name, config_file, others]
        if any(given) or update:
            raise click.UsageError(
                "--resume goes on with the run's own source and configuration; give it alone, or with --set scale.*"
            )
        request = resumed_request(resume, overrides)
    else:
        settings = [
            *overrides,
            *input_settings(images, pairs, reviews, rounds),
            *decision_settings(rule, precision, review_budget, keep_hard),
        ]
        if update and (run := existing_run(out, name)):
            request = updated_request(
                run, source=source, embeddings=embeddings, config_file=config_file, overrides=settings
            )
        elif source is None:
            from purify_demo.request import DEMO_SETTINGS, demo_request

            short = () if config_file else DEMO_SETTINGS
            folder = new_run_folder(out, name or default_name("demo"))
            request = demo_request(folder, load_config(config_file, [*short, *settings]), quiet=as_json)
        else:
            folder = new_run_folder(out, name or default_name(source.stem))
            request = RunRequest.of(source, folder, load_config(config_file, settings), embeddings=embeddings)
    answer(run_request(request, quiet=as_json), as_json=as_json)


@main.command("ingest")
@click.argument("source", type=ANYTHING_AT)
@images_option
@out_option
@config_options
@json_option
def ingest_command(
    source: Location,
    images: tuple[Location, ...],
    out: Path,
    config_file: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """SOURCE -> OUT/manifest.parquet: one row a sample, unreadable ones with a reason."""
    from purify.ingest.ingest import ingest
    from purify.progress import progress_board
    from purify.storage.files import write_table

    config = load_config(config_file, overrides)
    manifest = out / "manifest.parquet"
    roots = image_roots(images, config)
    with progress_board(quiet=as_json) as board:
        table = ingest(source, roots, config.ingest, progress=board.stage("ingest"))
    write_table(table, manifest)
    counts = table["status"].value_counts().to_pylist()
    answer({"manifest": str(manifest), **{c["values"]: c["counts"] for c in counts}}, as_json=as_json)


@main.command("train")
@click.argument("manifest", type=FILE_AT)
@out_option
@click.option("--subcenters", "-k", type=click.IntRange(1, 16), help="K; default: train.subcenters.")
@config_options
def train_command(
    manifest: Location, out: Path, subcenters: int | None, config_file: Path | None, overrides: tuple[str, ...]
) -> None:
    """MANIFEST -> OUT/checkpoint. Interrupted, the same command goes on where it was."""
    from purify.pipeline.training_stage import train_job
    from purify.progress import progress_board
    from purify.storage.files import local_file
    from purify.training.launcher import run_job

    config = load_config(config_file, overrides)
    job = train_job(local_file(manifest), out, config, subcenters=subcenters or config.train.subcenters)
    with progress_board() as board:
        run_job(job, board.stage("train"))
    answer({"checkpoint": str(out / "checkpoint")}, as_json=False)


@main.command("embed")
@click.argument("manifest", type=FILE_AT)
@click.option(
    "--checkpoint",
    type=CHECKPOINT_AT,
    required=True,
    help="Checkpoint folder; or an ONNX file or weights.",
)
@out_option
@config_options
def embed_command(
    manifest: Location, checkpoint: Path, out: Path, config_file: Path | None, overrides: tuple[str, ...]
) -> None:
    """MANIFEST + checkpoint -> OUT/embeddings.parquet."""
    from purify.pipeline.embedding_stage import embed_manifest
    from purify.progress import progress_board
    from purify.tables.manifest import load_manifest

    config = load_config(config_file, overrides)
    path = out / "embeddings.parquet"
    out.mkdir(parents=True, exist_ok=True)
    with progress_board() as board:
        embed_manifest(load_manifest(manifest), checkpoint, path, config, progress=board.stage("embed"))
    answer({"embeddings": str(path)}, as_json=False)


@main.command("analyze")
@click.argument("manifest", type=FILE_AT)
@click.option("--embeddings", type=FILE_AT, required=True, help="Parquet with sample_id (or path) and embedding.")
@click.option("--checkpoint", type=CHECKPOINT_AT, help="Judge by this checkpoint's sub-centers; none: fit them here.")
@out_option
@decision_options
@config_options
@json_option
def analyze_command(
    manifest: Location,
    embeddings: Location,
    checkpoint: Path | None,
    out: Path,
    rule: str | None,
    precision: float | None,
    review_budget: int | None,
    keep_hard: bool | None,
    config_file: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """MANIFEST + embeddings -> OUT/verdicts.parquet and OUT/class_report.parquet."""
    from purify.pipeline.manifest_analysis import analyze_manifest
    from purify.storage.files import write_table
    from purify.tables.manifest import load_manifest

    settings = [*overrides, *decision_settings(rule, precision, review_budget, keep_hard)]
    config = load_config(config_file, settings)
    analysis = analyze_manifest(load_manifest(manifest), embeddings, config, checkpoint_folder=checkpoint)
    write_table(analysis.verdicts, out / "verdicts.parquet")
    write_table(analysis.class_report, out / "class_report.parquet")
    counts = analysis.verdicts["decision"].value_counts().to_pylist()
    answer(
        {
            "verdicts": str(out / "verdicts.parquet"),
            "rule": config.analyze.rule,
            **{c["values"]: c["counts"] for c in counts},
        },
        as_json=as_json,
    )


@main.command("apply")
@click.argument("manifest", type=FILE_AT)
@click.option("--verdicts", type=FILE_AT, required=True)
@click.option("--reviews", type=FILE_AT, help="What people decided (reviews.parquet); it overrides the verdicts.")
@out_option
@json_option
def apply_command(manifest: Location, verdicts: Location, reviews: Location | None, out: Path, as_json: bool) -> None:
    """MANIFEST + verdicts (+ reviews) -> OUT/cleaned.parquet, removed.parquet and labels.parquet."""
    from purify.pipeline.cleaned_tables import apply_files, run_counts
    from purify.tables.manifest import load_manifest

    table = load_manifest(manifest)
    apply_files(table, verdicts, out, reviews=reviews)
    counts = run_counts(table, out / "cleaned.parquet", out / "removed.parquet", reviews=reviews)
    answer({"cleaned_table": str(out / "cleaned.parquet"), **counts}, as_json=as_json)


def _named_checkpoints(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, Path]:
    models = {}
    for value in values:
        name, equals, folder = value.partition("=")
        if not equals or not (is_url(folder) or Path(folder).is_dir()):
            raise click.BadParameter(f"{value!r}: expected NAME=CHECKPOINT_FOLDER, such as raw=runs/a/checkpoint")
        models[name] = local_copy(to_location(folder))
    return models


@main.command("evaluate")
@click.argument("manifest", type=FILE_AT)
@click.option(
    "--model",
    "models",
    multiple=True,
    required=True,
    callback=_named_checkpoints,
    metavar="NAME=FOLDER",
    help="A checkpoint to measure; names raw, random, purified and oracle are compared. Repeatable.",
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
    """Verification on pairs of people that are not in the training set MANIFEST -> OUT/evaluation.json."""
    from purify.pipeline.model_comparison import evaluate_models
    from purify.progress import progress_board
    from purify.storage.files import read_json
    from purify.tables.manifest import load_manifest

    config = load_config(config_file, overrides)
    out.mkdir(parents=True, exist_ok=True)
    roots = image_roots(images, config)
    path = out / "evaluation.json"
    with progress_board(quiet=as_json) as board:
        evaluate_models(models, pairs, roots, load_manifest(manifest), config, path, progress=board.stage("evaluate"))
    result = read_json(path)
    if as_json:
        click.echo(json.dumps(result, indent=2, sort_keys=True))
    else:
        answer(
            {name: f"AUC {m['auc']:.4f} {m['auc_interval']}" for name, m in result["models"].items()},
            as_json=False,
        )


@main.command("score")
@click.argument("verdicts", type=FILE_AT)
@click.option("--truth", type=FILE_AT, required=True, help="Table with path (or sample_id) and true_label.")
def score_command(verdicts: Location, truth: Location) -> None:
    """Noise-detection figures of VERDICTS as JSON (an empty true_label belongs to no class)."""
    from purify.evaluation.detection import score_verdicts
    from purify.storage.files import read_table
    from purify.tables.manifest import load_truth
    from purify.tables.schema import VERDICTS

    answer(score_verdicts(read_table(verdicts, VERDICTS), load_truth(truth)), as_json=True)


@main.command("report")
@click.argument("run", type=RUN_AT)
@images_option
def report_command(run: Location, images: tuple[Location, ...]) -> None:
    """Write RUN/report.html; --images shows the faces of a run that doesn't know its images."""
    from purify.report.html import write_report
    from purify.storage.run_folder import RunFolder

    folder = RunFolder.at(run)
    folder.pull()
    path = write_report(folder.root, images=images)
    folder.publish()
    answer({"report": folder.shown(path)}, as_json=False)


main.add_command(review_command)


@main.command("demo-data")
@out_option
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@json_option
def demo_data_command(out: Path, seed: int, as_json: bool) -> None:
    """Draw the demo set: images, table with truth, verification pairs, contact sheet."""
    from purify.progress import progress_board
    from purify_demo import write_demo

    with progress_board(quiet=as_json) as board:
        demo = write_demo(out, seed=seed, progress=board.stage("draw"))
    answer(
        {
            "images": str(demo.images),
            "table": str(demo.table),
            "pairs": str(demo.pairs),
            "contact_sheet": str(demo.contact_sheet),
        },
        as_json=as_json,
    )


@main.command("config")
@config_options
def config_command(config_file: Path | None, overrides: tuple[str, ...]) -> None:
    """Print the configuration in force, as TOML comments and values."""
    from purify.config import to_toml

    click.echo(to_toml(load_config(config_file, overrides)))


main.add_command(serve_command)
main.add_command(deploy_command)

if __name__ == "__main__":
    main()
