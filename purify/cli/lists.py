"""``purify lists``: published clean lists, applied, compared and written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from purify.cli.answers import answer
from purify.cli.command import command, group
from purify.cli.options import ANYTHING_AT, FILE_AT, images_option, json_option, out_option
from purify.storage.locations import Location

if TYPE_CHECKING:
    from purify.pipeline.clean_lists import ListAnswer, ListReading

_KINDS = click.Choice(["kept", "removed"])
_FORMS = click.Choice(["path", "path-label", "label-path", "csv"])
_form_option = click.option(
    "--format", "form", type=_FORMS, help="Form of a text list; default: the one under which most paths are known."
)
_labels_option = click.option(
    "--labels",
    type=click.Choice(["auto", "use", "ignore"]),
    default="auto",
    show_default=True,
    help="Labels in a list of kept images: use them as final ones, or ignore them; auto: use known ones.",
)


@group("lists", example="purify lists apply noises.txt run/manifest.parquet --listed removed --out cleaned")
def lists_command() -> None:
    """Apply, compare and write clean lists.

    A list names the images of a set to keep or to remove: one path a line, `path label`, `label path`, CSV or Parquet.
    """


@command("apply", example="purify lists apply noises.txt run/manifest.parquet --listed removed --out cleaned")
@click.argument("given", metavar="LIST", type=FILE_AT)
@click.argument("manifest", metavar="MANIFEST_OR_RUN", type=ANYTHING_AT)
@click.option("--listed", type=_KINDS, required=True, help="Whether the list names images to keep or to remove.")
@_labels_option
@_form_option
@out_option
@json_option
def lists_apply_command(
    given: Location, manifest: Location, listed: str, labels: str, form: str | None, out: Path, as_json: bool
) -> None:
    """LIST + manifest -> cleaned and removed tables in OUT."""
    from purify.pipeline.clean_lists import apply_list

    _say(apply_list(given, manifest, out, _reading(listed, form, labels)), as_json=as_json)


@command("diff", example="purify lists diff noises.txt run --listed-a removed --out diff.csv --sheet diff.png")
@click.argument("a", type=ANYTHING_AT)
@click.argument("b", type=ANYTHING_AT)
@click.option("--manifest", type=ANYTHING_AT, help="Manifest of both; default: that of a run among them.")
@click.option("--listed-a", type=_KINDS, help="If A is a list: whether it names images to keep or to remove.")
@click.option("--listed-b", type=_KINDS, help="The same of B.")
@_labels_option
@_form_option
@images_option
@click.option("--out", type=click.Path(path_type=Path), help="Table of the differences: .parquet or .csv.")
@click.option("--sheet", type=click.Path(path_type=Path), help="Contact sheet of the differences: .png.")
@json_option
def lists_diff_command(
    a: Location,
    b: Location,
    manifest: Location | None,
    listed_a: str | None,
    listed_b: str | None,
    labels: str,
    form: str | None,
    images: tuple[Location, ...],
    out: Path | None,
    sheet: Path | None,
    as_json: bool,
) -> None:
    """Compare two lists, or a list and our verdicts.

    A and B are lists, runs, or tables of verdicts, cleaned or removed images.
    """
    from purify.pipeline.clean_lists import diff_decisions

    sides = [(place, _reading(listed, form, labels)) for place, listed in ((a, listed_a), (b, listed_b))]
    _say(diff_decisions(sides[0], sides[1], manifest, out=out, sheet=sheet, images=images), as_json=as_json)


@command("write", example="purify lists write run --listed removed --out noises.txt")
@click.argument("source", metavar="RUN_OR_TABLE", type=ANYTHING_AT)
@click.option("--listed", type=_KINDS, default="kept", show_default=True, help="Which images to list.")
@click.option("--format", "form", type=_FORMS, help="Form; default: csv for a file .csv, else path.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="File to write.")
@json_option
def lists_write_command(source: Location, listed: str, form: str | None, out: Path, as_json: bool) -> None:
    """A run's verdicts, or a cleaned or removed table -> a list."""
    from purify.pipeline.clean_lists import write_decisions
    from purify.tables.list_files import ListForm
    from purify.tables.list_verdicts import Listed

    chosen = ListForm(form or ("csv" if out.suffix.lower() == ".csv" else "path"))
    _say(write_decisions(source, out, Listed(listed), chosen), as_json=as_json)


for _command in (lists_apply_command, lists_diff_command, lists_write_command):
    lists_command.add_command(_command)


def _reading(listed: str | None, form: str | None, labels: str) -> ListReading:
    from purify.pipeline.clean_lists import ListReading
    from purify.tables.list_files import ListForm
    from purify.tables.list_verdicts import Listed, ListedLabels

    kinds: dict[str, Any] = {
        "listed": Listed(listed) if listed else None,
        "form": ListForm(form) if form else None,
        "labels": ListedLabels(labels),
    }
    return ListReading(**kinds)


def _say(told: ListAnswer, *, as_json: bool) -> None:
    for warning in told.warnings:
        click.echo(f"Warning: {warning}.", err=True)
    answer(told.figures, as_json=as_json)
