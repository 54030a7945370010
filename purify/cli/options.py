"""What the commands share: kinds of paths, options that several of them take, and how they answer."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from purify.config import PurifyConfig
from purify.storage.locations import Location, Url, absolute, to_location

if TYPE_CHECKING:
    from purify.storage.sync import SyncedFolder

EXISTING = click.Path(exists=True, path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)


class PathOrUrl(click.Path):
    """A path, or the URL of a store; what is at a URL is looked at when it is used."""

    name = "path or URL"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Path or Url."""
        place = to_location(os.fspath(value)) if isinstance(value, str | os.PathLike) else value
        return place if isinstance(place, Url) else super().convert(place, param, ctx)


class LocalCopy(PathOrUrl):
    """A file or folder, of which a URL gives a local copy."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Path of it or of its copy."""
        return local_copy(super().convert(value, param, ctx))


ANYTHING_AT = PathOrUrl(exists=True, path_type=Path)
FILE_AT = PathOrUrl(exists=True, dir_okay=False, path_type=Path)
FOLDER_AT = PathOrUrl(file_okay=False, path_type=Path)
RUN_AT = PathOrUrl(exists=True, file_okay=False, path_type=Path)
CHECKPOINT_AT = LocalCopy(exists=True, path_type=Path)

_PUBLISHED = f"{__name__}.published"


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


def config_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--config`` and ``--set``."""
    command = click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="SECTION.KEY=VALUE",
        help="Override one value. Repeatable.",
    )(command)
    return click.option("--config", "config_file", type=FILE, help="Configuration in TOML (see `purify config`).")(
        command
    )


def decision_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The knobs of the decision; `decision_settings` makes overrides of them."""
    for option in reversed(
        (
            click.option("--rule", help="calibrated, official or paper; overrides analyze.rule."),
            click.option(
                "--precision",
                type=click.FloatRange(0, 1, min_open=True, max_open=True),
                help="Of what is removed, the share that must be wrong, such as 0.98.",
            ),
            click.option(
                "--review-budget", type=click.IntRange(0), metavar="N", help="Leave the N least certain to a person."
            ),
            click.option("--keep-hard", is_flag=True, default=None, help="Keep doubtful faces."),
        )
    ):
        command = option(command)
    return command


def decision_settings(
    rule: str | None, precision: float | None, review_budget: int | None, keep_hard: bool | None
) -> list[str]:
    """Overrides of the options that were given."""
    given = {"rule": rule, "precision": precision, "review_budget": review_budget, "keep_hard": keep_hard}
    return [f"analyze.{key}={json.dumps(value)}" for key, value in given.items() if value is not None]


def images_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--images``."""
    return click.option(
        "--images",
        type=ANYTHING_AT,
        multiple=True,
        help="Folder or .tar that paths are looked up in. Repeatable.",
    )(command)


def input_settings(
    images: tuple[Location, ...], pairs: Location | None, reviews: Location | None, rounds: int | None
) -> list[str]:
    """Overrides of the options of a run that were given; paths in full, since a worker runs elsewhere."""
    given = {
        "ingest.images": [absolute(place) for place in images] or None,
        "evaluate.pairs": absolute(pairs) if pairs else None,
        "apply.reviews": absolute(reviews) if reviews else None,
        "rounds.most": rounds,
    }
    return [f"{key}={json.dumps(value)}" for key, value in given.items() if value is not None]


def image_roots(images: tuple[Location, ...], config: PurifyConfig) -> list[Location]:
    """The image roots of the command line, else those of the configuration."""
    return list(images) or [to_location(root) for root in config.ingest.images]


def out_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--out``: a folder. Of a URL the command gets a local folder, which is published when it has ended well."""

    @functools.wraps(command)
    def with_local_folder(*args: Any, out: Location, **values: Any) -> Any:
        if isinstance(out, Path):
            return command(*args, out=out, **values)
        from purify.storage.remote import list_files
        from purify.storage.sync import SyncedFolder

        mirror = SyncedFolder.of(out)
        list_files(out)  # a URL that can't be used is refused before the work
        click.get_current_context().meta[_PUBLISHED] = mirror
        result = command(*args, out=mirror.folder, **values)
        mirror.publish()
        return result

    return click.option("--out", type=FOLDER_AT, required=True, help="Folder or URL to write to.")(with_local_folder)


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")(command)


def answer(values: dict[str, Any], *, as_json: bool) -> None:
    """Print `values`, a line each or as JSON; files of a folder that is published, then and by their URLs."""
    mirror = click.get_current_context().meta.get(_PUBLISHED)
    if mirror is not None:
        mirror.publish()
        values = {key: _published(mirror, value) for key, value in values.items()}
    if as_json:
        click.echo(json.dumps(values, indent=2, sort_keys=True))
        return
    width = max(len(key) for key in values)
    for key, value in values.items():
        text = f"{value:.4f}" if isinstance(value, float) else value
        click.echo(f"{key:<{width}}  {text}")


def _published(mirror: SyncedFolder, value: Any) -> Any:
    is_file = isinstance(value, str) and Path(value).is_relative_to(mirror.folder)
    return mirror.shown(Path(value)) if is_file else value
