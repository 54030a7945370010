"""What every benchmark does with its answer: tables on the console, JSON into a file or after them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from purify.storage.files import write_json


def console(width: int) -> Console:
    """A terminal, or a file of this `width`: it has none of its own to fit tables into."""
    terminal = Console()
    return terminal if terminal.is_terminal else Console(width=width)


def give(answer: Mapping[str, Any], out: Path | None) -> None:
    """Write the JSON file `out`; None: print it."""
    if out is None:
        click.echo(json.dumps(answer))
    else:
        write_json(out, answer)
