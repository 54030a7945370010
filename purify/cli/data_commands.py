"""Commands for demo data and the settings in force."""

from __future__ import annotations

from pathlib import Path

import click

from purify.cli.answers import answer
from purify.cli.command import command
from purify.cli.options import config_options, json_option, out_option


@command("demo-data", example="purify demo-data lfw --out lfw")
@click.argument("which", metavar="[SET]", type=click.Choice(["drawn", "lfw"]), default="drawn")
@out_option
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the drawing or the noise.")
@json_option
def demo_data_command(which: str, out: Path, seed: int, as_json: bool) -> None:
    """Draw the demo set, or fetch a real one.

    drawn (the default): images, a table with their true labels, verification pairs, and a contact sheet. lfw: Labeled
    Faces in the Wild (180 MB, for research), cropped, with a table of its people under partly wrong labels and the
    truth; an interrupted download goes on.
    """
    from purify.progress import progress_board
    from purify_demo import write_demo
    from purify_demo.lfw import write_lfw

    with progress_board(quiet=as_json) as board:
        if which == "lfw":
            lfw = write_lfw(out, seed=seed, board=board)
            places = {"images": lfw.images, "table": lfw.table, "pairs": lfw.pairs}
        else:
            demo = write_demo(out, seed=seed, progress=board.stage("draw"))
            places = {"images": demo.images, "table": demo.table, "pairs": demo.pairs}
            places["contact_sheet"] = demo.contact_sheet
    answer({name: str(place) for name, place in places.items()}, as_json=as_json)


@command("config", example="purify config --set train.epochs=20 > run.toml")
@config_options
def config_command(config_file: Path | None, overrides: tuple[str, ...]) -> None:
    """Print all settings in force, as a commented TOML file.

    Its paths are absolute, so that the file can be used in any folder.
    """
    from purify.config_files import load_config, to_toml
    from purify.config_places import with_full_places

    click.echo(to_toml(with_full_places(load_config(config_file, overrides))))
