"""Options shared by several commands, and their types of paths."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from purify.cli.answers import PUBLISHED
from purify.storage.brace_patterns import is_brace_pattern
from purify.storage.locations import Location, Url, absolute, to_location

if TYPE_CHECKING:
    from purify.config import PurifyConfig

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class PathOrUrl(click.Path):
    """A path, or the URL of a store; a URL is checked at its first use."""

    name = "path or URL"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Convert to Path or Url."""
        if value == "" or (isinstance(value, str) and "\0" in value):  # '' would be the working folder
            self.fail("a path can't be empty or hold a NUL character (the present folder is .)", param, ctx)
        place = to_location(os.fspath(value)) if isinstance(value, str | os.PathLike) else value
        return place if isinstance(place, Url) else super().convert(place, param, ctx)


class LocalCopy(PathOrUrl):
    """A file or folder; for a URL, a local copy."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Convert to the path of the file, folder or copy."""
        return local_copy(super().convert(value, param, ctx))


class SourceAt(PathOrUrl):
    """A path or URL, or a pattern of several files such as ``shard-{000..012}.tar``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Convert to Path or Url."""
        if isinstance(value, str) and is_brace_pattern(value):
            return to_location(value)
        return super().convert(value, param, ctx)


class ConfigFile(click.Path):
    """A file, or the name of a recipe that comes with purify."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Convert to the path of the file."""
        from purify.config_files import recipe_files

        recipes = {} if Path(value).exists() else recipe_files()
        if recipes and Path(value).name == str(value) and not Path(value).suffix and value not in recipes:
            self.fail(f"{value!r} is no file and no recipe ({', '.join(recipes)}).", param, ctx)
        return super().convert(recipes.get(str(value), value), param, ctx)


SOURCE_AT = SourceAt(exists=True, path_type=Path)
ANYTHING_AT = PathOrUrl(exists=True, path_type=Path)
FILE_AT = PathOrUrl(exists=True, dir_okay=False, path_type=Path)
FOLDER_AT = PathOrUrl(file_okay=False, path_type=Path)
RUN_AT = PathOrUrl(exists=True, file_okay=False, path_type=Path)
CHECKPOINT_AT = LocalCopy(exists=True, path_type=Path)


def local_copy(place: Location) -> Path:
    """`place` itself, or a copy of the file or folder at a URL."""
    if isinstance(place, Path):
        return place
    from purify.storage.files import local_file
    from purify.storage.remote import is_folder
    from purify.storage.sync import SyncedFolder

    if not is_folder(place):
        return local_file(place)
    mirror = SyncedFolder.of(place)
    mirror.pull()
    return mirror.folder


def all_of(*options: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Combine several options into one decorator, in this order."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


config_options = all_of(
    click.option(
        "--config",
        "config_file",
        type=ConfigFile(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE|RECIPE",
        help="Settings in TOML (template: `purify config`), or the name of a recipe, such as cpu.",
    ),
    click.option(
        "--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Override one setting. Repeatable."
    ),
)
"""``--config`` and ``--set``."""

extractor_option = click.option(
    "--extractor",
    metavar="NAME|FILE",
    help="Whose embeddings are judged: dlib (extra faces), scratch (the network trained on these labels), an ONNX "
    "file or weights; default: auto, the strongest that fits.",
)
"""``--extractor``; `extractor_setting` turns it into an override."""

decision_options = all_of(
    click.option("--rule", help="Decision rule: calibrated (default), official, paper, or a package's own."),
    click.option(
        "--precision",
        type=click.FloatRange(0, 1, min_open=True, max_open=True),
        metavar="SHARE",
        help="Least share of wrong labels among the removed, such as 0.98.",
    ),
    click.option(
        "--review-budget", type=click.IntRange(0), metavar="N", help="Leave the N least certain images to a person."
    ),
    click.option("--keep-hard", is_flag=True, default=None, help="Keep doubtful faces unless almost certainly wrong."),
    click.option(
        "--several-looks",
        is_flag=True,
        default=None,
        help="The images of a label may look different from several sides, as those of a product.",
    ),
    click.option("--dedupe", is_flag=True, default=None, help="Drop near duplicates within a label but for the first."),
)
"""Options of the decision; `decision_settings` turns them into overrides."""

images_option = click.option(
    "--images",
    type=ANYTHING_AT,
    multiple=True,
    help="Folder or .tar in which image paths are looked up. Repeatable.",
)

label_depth_option = click.option(
    "--label-depth",
    type=click.IntRange(1),
    metavar="N",
    help="Depth of the label folders below SOURCE; default: the folder of each image.",
)


def _columns(_: click.Context, __: click.Parameter, text: str | None) -> dict[str, str] | None:
    if text is None:
        return None
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(name.strip() and column.strip() for name, _, column in pairs):
        raise click.BadParameter(f"{text!r}: expected NAME=COLUMN, separated by commas: path=file_name,label=person")
    return {name.strip(): column.strip() for name, _, column in pairs}


columns_option = click.option(
    "--columns",
    callback=_columns,
    metavar="NAME=COLUMN,...",
    help="Other names of a table's columns, such as path=file_name,label=person.",
)

source_options = all_of(
    label_depth_option,
    click.option("--format", "source_format", metavar="NAME", help="How to read SOURCE; default: recognized."),
    columns_option,
    click.option("--label-field", metavar="NAME", help="Field of the label in the .json beside each image."),
    click.option("--same-labels", is_flag=True, default=None, help="Equal labels of several SOURCEs mean one person."),
)
"""How to read SOURCE; `source_settings` turns them into overrides."""

all_faces_option = click.option(
    "--all-faces", is_flag=True, default=None, help="A row for each face of a photo, not for its most prominent one."
)
align_options = all_of(
    click.option("--align", is_flag=True, default=None, help="SOURCE holds photos: find, align and crop their faces."),
    all_faces_option,
)
"""Photos as SOURCE; `align_settings` turns them into values of settings."""

embedding_options = all_of(
    click.option(
        "--embedding-columns",
        callback=_columns,
        metavar="NAME=COLUMN,...",
        help="Columns of --embeddings under other names, such as path=image,embedding=vector.",
    ),
    click.option("--embedding-ids", type=FILE_AT, help="Ids of the rows of a .npy, one a line; default: beside it."),
)
"""How to read --embeddings; `embedding_settings` turns them into overrides."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")


def decision_settings(
    rule: str | None,
    precision: float | None,
    review_budget: int | None,
    keep_hard: bool | None,
    several_looks: bool | None,
    dedupe: bool | None,
) -> list[str]:
    """Overrides for the given decision options."""
    given = {
        "rule": rule,
        "precision": precision,
        "review_budget": review_budget,
        "keep_hard": keep_hard,
        "several_looks": several_looks,
        "dedupe": dedupe,
    }
    return overrides_of({f"analyze.{key}": value for key, value in given.items()})


def source_settings(
    further: Sequence[Location],
    *,
    label_depth: int | None,
    source_format: str | None,
    columns: dict[str, str] | None,
    label_field: str | None,
    same_labels: bool | None,
) -> list[str]:
    """Overrides for the given source options, and for sources after the first, as absolute paths."""
    given = {
        "more": [absolute(place) for place in further] or None,
        "label_depth": label_depth,
        "format": source_format,
        "columns": columns,
        "label_field": label_field,
        "same_labels": same_labels,
    }
    return overrides_of({f"ingest.{key}": value for key, value in given.items()})


def align_settings(align: bool | None, all_faces: bool | None) -> dict[str, Any]:
    """Values of the given align options; every face of a photo is a face of a photo."""
    return {"align.enabled": True if align or all_faces else None, "align.all_faces": all_faces}


def embedding_settings(embedding_columns: dict[str, str] | None, embedding_ids: Location | None) -> list[str]:
    """Overrides for the given options of embeddings, the list of ids as an absolute path."""
    ids = absolute(embedding_ids) if embedding_ids else None
    return overrides_of({"embeddings.columns": embedding_columns, "embeddings.ids": ids})


def extractor_setting(extractor: str | None) -> list[str]:
    """Override of the extractor, if given; a file as an absolute path."""
    from purify.config import EXTRACTOR_NAMES

    named = extractor is None or extractor in EXTRACTOR_NAMES
    return overrides_of({"extractor.name": extractor if named else absolute(to_location(str(extractor)))})


def image_settings(images: tuple[Location, ...]) -> list[str]:
    """Override of the image roots, as absolute paths, if given."""
    return overrides_of({"ingest.images": [absolute(place) for place in images] or None})


def overrides_of(given: dict[str, Any]) -> list[str]:
    """``section.key=value`` for the values that are not None."""
    return [f"{key}={json.dumps(value)}" for key, value in given.items() if value is not None]


def image_roots(images: tuple[Location, ...], config: PurifyConfig) -> list[Location]:
    """The image roots of the command line, else those of the configuration."""
    return list(images) or [to_location(root) for root in config.ingest.images]


def _local_out(command: Callable[..., Any]) -> Callable[..., Any]:
    """Run the command with a local folder in place of a URL, and publish it on success; alone in a run."""

    @functools.wraps(command)
    def with_local_folder(*args: Any, out: Location | None, **values: Any) -> Any:
        if out is None:
            return command(*args, out=out, **values)
        if not isinstance(out, Url):
            from purify.storage.run_folder import alone_in

            with alone_in(out):
                return command(*args, out=out, **values)
        from purify.storage.remote import list_files
        from purify.storage.sync import SyncedFolder

        mirror = SyncedFolder.of(out)
        list_files(out)  # an unusable URL is refused before the work
        click.get_current_context().meta[PUBLISHED] = mirror
        result = command(*args, out=mirror.folder, **values)
        mirror.publish()
        return result

    return with_local_folder


def out_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--out``: a folder, or a URL with a local working folder."""
    return click.option("--out", type=FOLDER_AT, required=True, help="Folder or URL to write to.")(_local_out(command))


def optional_out_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--out`` for a command that doesn't always need it."""
    return click.option("--out", type=FOLDER_AT, help="Folder or URL to write to.")(_local_out(command))
