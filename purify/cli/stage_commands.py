"""One command per stage: ingest, align, train, embed, analyze, apply."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from purify.cli.answers import answer, say
from purify.cli.command import command
from purify.cli.options import (
    ANYTHING_AT,
    CHECKPOINT_AT,
    FILE_AT,
    FOLDER_AT,
    SOURCE_AT,
    all_faces_option,
    config_options,
    decision_options,
    decision_settings,
    embedding_options,
    embedding_settings,
    extractor_option,
    extractor_setting,
    image_roots,
    image_settings,
    images_option,
    json_option,
    optional_out_option,
    out_option,
    overrides_of,
    source_options,
    source_settings,
)
from purify.storage.locations import Location, absolute


@command("ingest", example="purify ingest faces/ --out run")
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True, type=SOURCE_AT)
@images_option
@source_options
@out_option
@config_options
@json_option
def ingest_command(
    sources: tuple[Location, ...],
    images: tuple[Location, ...],
    out: Path,
    config_file: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
    **reading: Any,
) -> None:
    """SOURCE -> OUT/manifest.parquet: a row per image.

    Several SOURCEs are merged, with a prefix each. Unreadable images are rows too, with the reason.
    """
    from purify.config_files import load_config
    from purify.ingest.crop_check import CHECKED, uncropped_warning
    from purify.ingest.ingest import ingest_file
    from purify.progress import progress_board
    from purify.storage.files import read_blocks

    config = load_config(config_file, [*overrides, *source_settings(sources[1:], **reading)])
    path = out / "manifest.parquet"
    with progress_board(quiet=as_json) as board:
        roots, progress = image_roots(images, config), board.stage("ingest")
        found = ingest_file(sources[0], roots, config.ingest, path, progress=progress)
    uncropped = uncropped_warning(lambda: read_blocks(path, CHECKED))
    for warning in [*found.warnings, *([uncropped] if uncropped else [])]:
        click.echo(f"Warning: {warning}.", err=True)
    answer({"manifest": str(path), **found.counts}, as_json=as_json)


@command("align", example="purify align run/manifest.parquet --out aligned")
@click.argument("manifest", type=FILE_AT)
@out_option
@click.option("--detector", type=FILE_AT, help="YuNet, SCRFD or RetinaFace model (.onnx); default: dlib's.")
@all_faces_option
@config_options
@json_option
def align_command(
    manifest: Location,
    out: Path,
    detector: Location | None,
    all_faces: bool | None,
    config_file: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """MANIFEST of photos -> OUT/manifest.parquet of their faces.

    Faces are found, turned upright and cropped to the template of 112 pixels, into OUT/crops. Photos without a usable
    face are rows too, with the reason. The same command goes on after an interruption, and aligns only new photos.
    """
    from purify.config_files import load_config
    from purify.pipeline.align_stage import align_table
    from purify.progress import progress_board

    given = {"align.detector": absolute(detector) if detector else None, "align.all_faces": all_faces}
    config = load_config(config_file, [*overrides, *overrides_of(given)])
    with progress_board(quiet=as_json) as board:
        aligned = align_table(manifest, out, config.align, progress=board.stage("align"))
    counts = {entry["values"]: entry["counts"] for entry in aligned["status"].value_counts().to_pylist()}
    answer({"manifest": str(out / "manifest.parquet"), **counts}, as_json=as_json)


@command("train", example="purify train run/manifest.parquet --out run/round-1 --set train.epochs=20")
@click.argument("manifest", type=FILE_AT)
@out_option
@click.option("--subcenters", "-k", type=click.IntRange(1, 16), help="Sub-centers K; default: train.subcenters.")
@config_options
def train_command(
    manifest: Location, out: Path, subcenters: int | None, config_file: Path | None, overrides: tuple[str, ...]
) -> None:
    """MANIFEST -> OUT/checkpoint.

    After an interruption, the same command resumes.
    """
    from purify.config_files import load_config
    from purify.pipeline.training_stage import train_job
    from purify.progress import progress_board
    from purify.storage.files import local_file
    from purify.training.launcher import run_job

    config = load_config(config_file, overrides)
    job = train_job(local_file(manifest), out, config, subcenters=subcenters or config.train.subcenters)
    with progress_board() as board:
        run_job(job, board.stage("train"))
    answer({"checkpoint": str(out / "checkpoint")}, as_json=False)


@command("embed", example="purify embed run/manifest.parquet --checkpoint run/round-1/checkpoint --out run")
@click.argument("manifest", type=FILE_AT)
@click.option("--checkpoint", type=CHECKPOINT_AT, help="Checkpoint folder of a trained network.")
@extractor_option
@out_option
@config_options
def embed_command(
    manifest: Location,
    checkpoint: Path | None,
    extractor: str | None,
    out: Path,
    config_file: Path | None,
    overrides: tuple[str, ...],
) -> None:
    """MANIFEST + extractor -> OUT/embeddings.parquet.

    The extractor is a checkpoint or any other; by default dlib's, if it is installed and the images are aligned faces.
    """
    if checkpoint is not None and extractor is not None:
        raise click.UsageError("--checkpoint and --extractor: give one of them")
    from purify.config_files import load_config
    from purify.pipeline.embedding_stage import embed_manifest, model_for
    from purify.progress import progress_board
    from purify.tables.manifest import load_manifest

    config = load_config(config_file, [*overrides, *extractor_setting(extractor)])
    path, table = out / "embeddings.parquet", load_manifest(manifest)
    model = checkpoint or model_for(table, config)
    out.mkdir(parents=True, exist_ok=True)
    with progress_board() as board:
        embed_manifest(table, model, path, config, progress=board.stage("embed"))
    answer({"embeddings": str(path)}, as_json=False)


@command("analyze", example="purify analyze faces.csv --embeddings embeddings.parquet --out run")
@click.argument("manifest", type=FILE_AT)
@click.option(
    "--embeddings",
    type=ANYTHING_AT,
    required=True,
    help="Parquet with path (or sample_id) and embedding, .npy with a list of ids, .npz, or a folder of them.",
)
@embedding_options
@click.option("--checkpoint", type=CHECKPOINT_AT, help="Checkpoint whose sub-centers judge; default: fit new ones.")
@images_option
@click.option("--out", type=FOLDER_AT, required=True, help="Folder or URL of the run to write.")
@decision_options
@config_options
@json_option
def analyze_command(
    manifest: Location,
    embeddings: Location,
    embedding_columns: dict[str, str] | None,
    embedding_ids: Location | None,
    checkpoint: Path | None,
    images: tuple[Location, ...],
    out: Location,
    rule: str | None,
    precision: float | None,
    review_budget: int | None,
    keep_hard: bool | None,
    several_looks: bool | None,
    dedupe: bool | None,
    config_file: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """MANIFEST + embeddings -> a run in OUT with verdicts.

    MANIFEST is a manifest, or a table with path and label; images are not needed. OUT/verdicts.parquet holds the
    decision on every image with its evidence, OUT/class_report.parquet a row per label. Nothing is trained; reviews in
    OUT hold.
    """
    from purify.config_files import load_config
    from purify.pipeline.closing import closing_lines
    from purify.pipeline.judge_run import judge_into_run, judging_config
    from purify.pipeline.summary import judging_summary

    given = {"analyze.checkpoint": str(checkpoint.absolute()) if checkpoint else None}
    decisions = decision_settings(rule, precision, review_budget, keep_hard, several_looks, dedupe)
    reading = embedding_settings(embedding_columns, embedding_ids)
    settings = [*overrides, *decisions, *reading, *overrides_of(given)]
    config = judging_config(load_config(config_file, [*settings, *(image_settings(images) or ["ingest.images=[]"])]))
    run = judge_into_run(manifest, out, config, embeddings=embeddings, progress=not as_json)
    if as_json:
        answer(judging_summary(run), as_json=True)
    else:
        say(closing_lines(run))


@command("apply", example="purify apply run")
@click.argument("manifest", metavar="RUN_OR_MANIFEST", type=ANYTHING_AT)
@click.option("--verdicts", type=FILE_AT, help="Verdicts on a MANIFEST.")
@click.option("--reviews", type=FILE_AT, help="Reviews (reviews.parquet); they override the verdicts.")
@click.option("--dedupe", is_flag=True, help="Drop near duplicates, too, unless their pixels differ.")
@optional_out_option
@json_option
def apply_command(
    manifest: Location,
    verdicts: Location | None,
    reviews: Location | None,
    out: Path | None,
    dedupe: bool,
    as_json: bool,
) -> None:
    """Verdicts + reviews -> the cleaned tables.

    cleaned.parquet, removed.parquet and labels.parquet: of a RUN, by its own verdicts and reviews, into its folder; of
    a MANIFEST, by the given ones, into OUT. With --dedupe, those of a RUN go to OUT, too.
    """
    if verdicts is None and reviews is None and out is None and not dedupe:
        _apply_run(manifest, as_json=as_json)
        return
    from purify.pipeline.cleaned_tables import apply_files, run_counts
    from purify.pipeline.judge_run import judged_files
    from purify.tables.manifest import load_manifest

    if verdicts is None and reviews is None and out is not None and dedupe:
        manifest, verdicts, reviews = judged_files(manifest)
    if verdicts is None or out is None:
        raise click.UsageError(
            "give a RUN alone, a RUN with --dedupe and --out, or a MANIFEST with --verdicts and --out"
        )
    table = load_manifest(manifest)
    deduplicated = apply_files(table, verdicts, out, reviews=reviews, dedupe=dedupe)
    counts = run_counts(table, out / "cleaned.parquet", out / "removed.parquet", reviews=reviews)
    if deduplicated is not None:
        counts |= deduplicated.counts
        for warning in deduplicated.warnings:
            click.echo(f"Warning: {warning}.", err=True)
    answer({"cleaned_table": str(out / "cleaned.parquet"), **counts}, as_json=as_json)


def _apply_run(place: Location, *, as_json: bool) -> None:
    from purify.pipeline.judge_run import apply_to_run

    run = apply_to_run(place)
    for damage in run.read_info().get("damage", []):
        click.echo(f"Warning: {damage}.", err=True)
    answer({"cleaned_table": run.shown(run.cleaned), **run.required("counts")}, as_json=as_json)
