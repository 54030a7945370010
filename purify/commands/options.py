"""What the commands share: kinds of paths, options that several of them take, and how they answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from purify.config import PurifyConfig

EXISTING = click.Path(exists=True, path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)


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
        type=EXISTING,
        multiple=True,
        help="Folder or .tar that paths are looked up in. Repeatable.",
    )(command)


def input_settings(images: tuple[Path, ...], pairs: Path | None, reviews: Path | None, rounds: int | None) -> list[str]:
    """Overrides of the options of a run that were given; paths in full, since a worker runs elsewhere."""
    given = {
        "ingest.images": [str(path.resolve()) for path in images] or None,
        "evaluate.pairs": str(pairs.resolve()) if pairs else None,
        "apply.reviews": str(reviews.resolve()) if reviews else None,
        "rounds.most": rounds,
    }
    return [f"{key}={json.dumps(value)}" for key, value in given.items() if value is not None]


def image_roots(images: tuple[Path, ...], config: PurifyConfig) -> list[Path]:
    """The image roots of the command line, else those of the configuration."""
    return list(images) or [Path(root) for root in config.ingest.images]


def out_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--out``: a folder."""
    return click.option("--out", type=FOLDER, required=True, help="Folder to write to.")(command)


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")(command)


def answer(values: dict[str, Any], *, as_json: bool) -> None:
    """Print `values`, a line each or as JSON."""
    if as_json:
        click.echo(json.dumps(values, indent=2, sort_keys=True))
        return
    width = max(len(key) for key in values)
    for key, value in values.items():
        text = f"{value:.4f}" if isinstance(value, float) else value
        click.echo(f"{key:<{width}}  {text}")
