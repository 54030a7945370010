"""``purify export`` and ``purify export-model``: results in the formats of other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from purify.cli.answers import answer
from purify.cli.command import command
from purify.cli.options import CHECKPOINT_AT, FILE_AT, images_option, json_option, out_option
from purify.storage.locations import Location

if TYPE_CHECKING:
    from purify.export.image_stream import Edit

#: Names of `purify.export.formats.FORMATS`, which is loaded only when needed.
FORMAT_NAMES = (
    "folder",
    "rec",
    "webdataset",
    "parquet",
    "lst",
    "csv",
    "fiftyone",
    "label-studio",
    "cleanlab",
)


@command("export", example="purify export run/cleaned.parquet --format rec --out faces-rec")
@click.argument("table", type=FILE_AT)
@click.option("--format", "form", type=click.Choice(FORMAT_NAMES), required=True, help="What to write.")
@out_option
@images_option
@click.option("--verdicts", type=FILE_AT, help="Verdicts to show; default: those of the run that TABLE lies in.")
@click.option("--crop", is_flag=True, help="Cut to the central square. Images are encoded anew.")
@click.option("--size", type=click.IntRange(1, 1 << 14), help="Side in pixels; implies --crop.")
@click.option(
    "--shard-images", type=click.IntRange(1), default=10_000, show_default=True, help="Most images per shard."
)
@click.option("--shard-mb", type=click.IntRange(1), default=512, show_default=True, help="A full shard's megabytes.")
@click.option("--workers", type=click.IntRange(0), default=0, help="Reading threads; default: one per core.")
@json_option
def export_command(
    table: Location,
    form: str,
    out: Path,
    images: tuple[Location, ...],
    verdicts: Location | None,
    crop: bool,
    size: int | None,
    shard_images: int,
    shard_mb: int,
    workers: int,
    as_json: bool,
) -> None:
    """TABLE -> its ok rows in another tool's format.

    TABLE is a manifest, a cleaned or a removed table. Images keep their bytes unless --crop or --size is given. After
    an interruption, the same command continues.
    """
    from purify.export.export_job import ShardLimits
    from purify.export.export_table import ExportRequest, export_table
    from purify.progress import progress_board

    limits = ShardLimits(shard_images, shard_mb << 20)
    edit = _edit(crop, size)
    request = ExportRequest(table, form, out, verdicts, images, edit, limits, workers)
    with progress_board(quiet=as_json) as board:
        done = export_table(request, progress=board.stage("export"))
    for note in done.notes:
        click.echo(f"Note: {note}.", err=True)
    answer({"out": str(out), "images": done.exported, "labels": done.labels, **done.left_out}, as_json=as_json)


def _edit(crop: bool, size: int | None) -> Edit | None:
    from purify.export.image_stream import Edit

    return Edit(size) if crop or size is not None else None


@command("export-model", example="purify export-model run/retrain/checkpoint --out model.onnx")
@click.argument("checkpoint", type=CHECKPOINT_AT)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The .onnx file to write.")
@json_option
def export_model_command(checkpoint: Path, out: Path, as_json: bool) -> None:
    """CHECKPOINT -> an ONNX file.

    Any batch size; embeddings as the backbone gives them, neither normalized nor averaged with the mirror image. The
    file is checked against the checkpoint, and holds its preprocessing, which `--extractor` reads.
    """
    from purify.embedding.onnx_export import export_onnx

    difference = export_onnx(checkpoint, out)
    answer({"model": str(out), "largest_difference": f"{difference:.2g}"}, as_json=as_json)
