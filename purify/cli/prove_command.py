"""``purify prove``: the paper's headline table on one's own data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from purify.cli.answers import answer
from purify.cli.command import command
from purify.cli.options import (
    FILE_AT,
    SOURCE_AT,
    config_options,
    extractor_option,
    extractor_setting,
    image_settings,
    images_option,
    json_option,
    out_option,
    overrides_of,
    source_options,
    source_settings,
)
from purify.storage.locations import Location, absolute


def _numbers(_: click.Context, __: click.Parameter, text: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: expected degrees, separated by commas: 70,75,80") from error
    if not all(0 < number <= 180 for number in numbers):
        raise click.BadParameter(f"{text!r}: angles are between 0 and 180 degrees")
    return list(dict.fromkeys(numbers))


@command("prove", example="purify prove faces.csv --truth true_label --images faces/ --pairs pairs.txt --out proof")
@click.argument("source", type=SOURCE_AT)
@click.option(
    "--truth", metavar="FILE|COLUMN", help="Table with path and true_label, or SOURCE's column of true labels."
)
@click.option("--pairs", type=FILE_AT, help="Verification pairs (LFW text form, or CSV/Parquet with a, b, same).")
@images_option
@source_options
@extractor_option
@click.option("--seeds", type=click.IntRange(1, 100), default=3, show_default=True, help="Trainings of each cell.")
@click.option(
    "--angles", callback=_numbers, default="70,75,80,85", show_default=True, help="Angles of the rule official."
)
@click.option("--rounds", type=click.IntRange(1), default=2, show_default=True, help="Most rounds; 1: no such cell.")
@click.option("--cell", "only", multiple=True, metavar="NAME", help="Only this cell, such as official-75. Repeatable.")
@click.option("--jobs", type=click.IntRange(1), default=2, show_default=True, help="Trainings side by side.")
@click.option("--so-far", is_flag=True, help="Train nothing; show the table of the finished cells.")
@out_option
@config_options
@json_option
def prove_command(
    source: Location,
    truth: str | None,
    pairs: Location | None,
    images: tuple[Location, ...],
    extractor: str | None,
    seeds: int,
    angles: list[float],
    rounds: int,
    only: tuple[str, ...],
    jobs: int,
    so_far: bool,
    out: Path,
    config_file: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
    **reading: Any,
) -> None:
    """Make the paper's headline table from SOURCE.

    Networks are trained on all images (K = 1 and K sub-centers), on those kept by each angle and by the rule, by
    several rounds, on a random choice of as many, and on the truly right ones; each with several seeds, measured on
    pairs of people outside of SOURCE. OUT gets proof.json, proof.md and proof.html. The same command resumes.
    """
    from purify.config_files import load_config
    from purify.pipeline.proof import prove
    from purify.pipeline.proof_plan import ProofPlan
    from purify.report.proof_page import proof_text
    from purify.storage.locations import to_location

    given = {"evaluate.pairs": absolute(pairs) if pairs else None}
    is_file = truth is not None and ("://" in truth or Path(truth).is_file())
    if truth is not None and not is_file:
        reading["columns"] = {**(reading["columns"] or {}), "true_label": truth}
    settings = [*overrides, *image_settings(images), *source_settings((), **reading), *extractor_setting(extractor)]
    config = load_config(config_file, [*settings, *overrides_of(given)])
    numbers = range(config.seed, config.seed + seeds)
    plan = ProofPlan(seeds=tuple(numbers), angles=tuple(angles), rounds=rounds, only=only, jobs=jobs)
    known = to_location(str(truth)) if is_file else None
    record = prove(source, out, config, plan, truth=known, so_far=so_far, progress=not as_json)
    if as_json:
        answer(record, as_json=True)
        return
    for line in proof_text(record):
        click.echo(line)
    answer({"page": str(out / "proof.html"), "table": str(out / "proof.md")}, as_json=False)
