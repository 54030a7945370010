"""Output of commands: lines for people, JSON for programs."""

from __future__ import annotations

import json
import re
import shutil
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from purify.storage.sync import SyncedFolder

#: Key of the click context under which an output folder at a URL is kept.
PUBLISHED = f"{__name__}.published"
_WIDTH = 100
#: Beginnings of lines with paths and commands.
_UNBROKEN = ("Report:", "Next:", " ")


def answer(values: Mapping[str, Any], *, as_json: bool) -> None:
    """Print `values`, one per line or as JSON; an output folder at a URL is published first, and shown by its URLs."""
    mirror = click.get_current_context().meta.get(PUBLISHED)
    if mirror is not None:
        mirror.publish()
        values = {key: _published(mirror, value) for key, value in values.items()}
    if as_json:
        click.echo(json.dumps(values, indent=2, sort_keys=True))
        return
    names = {key: key.replace("_", " ") for key in values}
    width = max(map(len, names.values()))
    for key, value in values.items():
        text = f"{value:.4f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value
        click.echo(f"{names[key]:<{width}}  {text}")


def say(lines: Iterable[str]) -> None:
    """Print `lines`, each wrapped under its heading (``Found:``); paths and commands stay on one line."""
    width = min(_WIDTH, shutil.get_terminal_size().columns)
    for line in lines:
        heading = re.match(r"\w+:\s+", line)
        indent = " " * len(heading[0]) if heading else ""
        if line.startswith(_UNBROKEN):
            click.echo(line)
            continue
        click.echo(textwrap.fill(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False))


def _published(mirror: SyncedFolder, value: Any) -> Any:
    is_file = isinstance(value, str) and Path(value).is_relative_to(mirror.folder)
    return mirror.shown(Path(value)) if is_file else value
