"""``purify invert``: faces from a trained network alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from purify.cli.answers import answer
from purify.cli.command import command
from purify.cli.options import (
    ANYTHING_AT,
    CHECKPOINT_AT,
    config_options,
    embedding_options,
    embedding_settings,
    json_option,
    out_option,
    overrides_of,
)
from purify.storage.locations import Location

if TYPE_CHECKING:
    from purify.config import PurifyConfig
    from purify.pipeline.inversion_stage import InversionRequest


@command("invert", example="purify invert run/round-1/checkpoint --subcenters Ada_Lovelace --out faces")
@click.argument("checkpoint", type=CHECKPOINT_AT)
@click.option("--label", "labels", multiple=True, metavar="NAME", help="A class, by its label. Repeatable.")
@click.option("--subcenters", "split", multiple=True, metavar="NAME", help="Each of a label's sub-centers. Repeatable.")
@click.option("--embeddings", type=ANYTHING_AT, help="Embeddings of the same network, as for `purify analyze`.")
@click.option("--ids", multiple=True, metavar="ID", help="Which of them; default: all. Repeatable.")
@embedding_options
@click.option("--no-watermark", is_flag=True, help="Leave out the word SYNTHETIC below the faces.")
@out_option
@config_options
@json_option
def invert_command(
    checkpoint: Path,
    labels: tuple[str, ...],
    split: tuple[str, ...],
    embeddings: Location | None,
    ids: tuple[str, ...],
    embedding_columns: dict[str, str] | None,
    embedding_ids: Location | None,
    no_watermark: bool,
    out: Path,
    config_file: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """CHECKPOINT -> OUT: the faces that it has in mind.

    OUT/images holds a PNG for each class, sub-center or embedding asked for, OUT/grid.png all of them,
    OUT/inversions.parquet how near each came. CHECKPOINT is a folder that training wrote, or a file of weights
    (safetensors, .pth), which has no labels. They are reconstructions, not photos (docs/how-to/invert.md). After an
    interruption, the same command resumes.
    """
    from purify.config_files import load_config
    from purify.pipeline.inversion_stage import invert
    from purify.progress import progress_board

    settings = [*embedding_settings(embedding_columns, embedding_ids)]
    settings += overrides_of({"invert.watermark": False if no_watermark else None})
    config = load_config(config_file, [*overrides, *settings])
    request = _request(checkpoint, (labels, split), (embeddings, ids), config)
    with progress_board(quiet=as_json) as board:
        table = invert(request, out, config, progress=board.stage("invert"))
    answer(_figures(table, out), as_json=as_json)


def _request(
    checkpoint: Path,
    named: tuple[tuple[str, ...], tuple[str, ...]],
    given: tuple[Location | None, tuple[str, ...]],
    config: PurifyConfig,
) -> InversionRequest:
    from purify.embedding.embedding_files import EmbeddingFiles
    from purify.pipeline.inversion_stage import embedding_targets, label_targets

    (labels, split), (embeddings, ids) = named, given
    if bool(labels or split) == (embeddings is not None):
        raise click.UsageError("give either --label or --subcenters, or --embeddings")
    if embeddings is None:
        if ids:
            raise click.UsageError("--ids are those of --embeddings")
        return label_targets(checkpoint, labels, split)
    return embedding_targets(checkpoint, EmbeddingFiles(embeddings, config.embeddings), ids, config)


def _figures(table: Any, out: Path) -> dict[str, Any]:
    """The answer of the command."""
    import pyarrow.compute as pc

    labeled = table.filter(table["label"].is_valid())
    right = pc.mean(pc.equal(labeled["label"], labeled["judged_label"])).as_py() if len(labeled) else None
    return {
        "table": str(out / "inversions.parquet"),
        "grid": str(out / "grid.png"),
        "images": len(table),
        "mean_cosine": float(pc.mean(table["cosine"]).as_py()),
        **({} if right is None else {"judged_right": float(right)}),
    }
