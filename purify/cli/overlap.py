"""``purify overlap``: who and which pictures are in two sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from purify.cli.answers import answer
from purify.cli.command import command
from purify.cli.options import (
    ANYTHING_AT,
    CHECKPOINT_AT,
    FILE_AT,
    config_options,
    images_option,
    json_option,
    out_option,
)
from purify.storage.locations import Location


@command("overlap", example="purify overlap train.parquet test.parquet --checkpoint model.onnx --out overlap")
@click.argument("a", type=ANYTHING_AT)
@click.argument("b", type=ANYTHING_AT)
@click.option("--embeddings-a", type=FILE_AT, help="Embeddings of A; default: those of a run.")
@click.option("--embeddings-b", type=FILE_AT, help="Embeddings of B, of the same extractor.")
@click.option("--checkpoint", type=CHECKPOINT_AT, help="Model that embeds both: checkpoint, ONNX file or weights.")
@click.option(
    "--false-share",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.01,
    show_default=True,
    help="Tolerated share of false pairs among the people found, and among the faces.",
)
@click.option(
    "--same-picture",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.98,
    show_default=True,
    help="Cosine above which two images are one picture.",
)
@click.option("--drop-from", type=click.Choice(["a", "b"]), help="Set that loses shared people, pictures and faces.")
@images_option
@click.option("--sheet", type=click.Path(path_type=Path), help="Contact sheet of the people: .png.")
@out_option
@config_options
@json_option
def overlap_command(
    a: Location,
    b: Location,
    embeddings_a: Location | None,
    embeddings_b: Location | None,
    checkpoint: Path | None,
    false_share: float,
    same_picture: float,
    drop_from: str | None,
    images: tuple[Location, ...],
    sheet: Path | None,
    out: Path,
    config_file: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Find the people and pictures that are in two sets.

    A and B are manifests, tables of path and label, cleaned tables or runs. Labels need not agree: people are found
    by their faces. OUT/people.parquet and OUT/pictures.parquet hold the pairs with evidence, OUT/overlap.json the
    counts; with --drop-from, OUT/kept.parquet is that set without them.
    """
    from purify.config_files import load_config
    from purify.pipeline.overlap_sides import GivenSet
    from purify.pipeline.set_overlap import OverlapSettings, compare_sets
    from purify.progress import progress_board

    sides = GivenSet("a", a, embeddings_a), GivenSet("b", b, embeddings_b)
    settings = OverlapSettings(false_share, same_picture, drop_from)
    config = load_config(config_file, overrides)
    with progress_board(quiet=as_json) as board:
        told = compare_sets(
            *sides, out, settings, config=config, model=checkpoint, sheet=sheet, images=images, board=board
        )
    for warning in told.warnings:
        click.echo(f"Warning: {warning}.", err=True)
    answer(told.figures if as_json else _short(told.figures, out), as_json=as_json)


def _short(figures: dict[str, Any], out: Path) -> dict[str, Any]:
    people, pictures = figures["people"], figures["pictures"]
    lines: dict[str, Any] = {
        "people": f"{people['pairs']:,} pairs ({people['labels_a']:,} labels of A, {people['labels_b']:,} of B)",
        "expected false": round(people["expected_false"], 2),
        "pictures": f"{pictures['same_picture_pairs']:,} pairs ({pictures['same_picture_images_a']:,} of A, "
        f"{pictures['same_picture_images_b']:,} of B)",
        "other faces": f"{pictures['same_person_images_b']:,} images of B show a person of A",
        "pairs": str(out / "people.parquet"),
    }
    if dropped := figures.get("dropped"):
        lines["dropped"] = f"{dropped['dropped']:,} of {dropped['rows']:,} rows of {dropped['from'].upper()}"
        lines["kept table"] = str(out / "kept.parquet")
    return lines
