"""``purify serve`` and ``purify deploy``: the flow on a schedule, and as a form in the Prefect UI."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from purify.cli.options import (
    ANYTHING_AT,
    FILE,
    FILE_AT,
    FOLDER_AT,
    answer,
    config_options,
    images_option,
    input_settings,
    json_option,
)
from purify.config import load_config
from purify.storage.locations import Location

if TYPE_CHECKING:
    from purify.orchestration.deployments import Timetable
    from purify.pipeline.request import RunRequest

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _interval(_: click.Context, __: click.Parameter, text: str | None) -> timedelta | None:
    if text is None:
        return None
    match = re.fullmatch(r"([1-9]\d*)([smhd])", text.strip())
    if match is None:
        raise click.BadParameter(f"{text!r}: expected a number and a unit, such as 30m, 12h or 1d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _deployment_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What is purified, into which folder, and when."""
    for option in reversed(
        (
            click.argument("source", type=ANYTHING_AT, required=False),
            images_option,
            click.option("--pairs", type=FILE_AT, help="Verification pairs (LFW text form, or CSV/Parquet)."),
            click.option("--embeddings", type=FILE_AT, help="Your own embeddings: skips the first training."),
            click.option("--reviews", type=FILE_AT, help="Reviews of an earlier run (reviews.parquet)."),
            click.option("--rounds", type=click.IntRange(1), metavar="N", help="Purify up to N times."),
            click.option(
                "--out", type=FOLDER_AT, default=Path("runs"), show_default=True, help="Folder or URL of the runs."
            ),
            click.option("--name", help="Name of the deployment and of its run's folder; default: that of the source."),
            click.option("--cron", help='When to run, such as "0 2 * * *": each night at two.'),
            click.option("--interval", callback=_interval, help="Run every so often, such as 30m, 12h or 1d."),
            click.option("--timezone", default="UTC", show_default=True, help="Of --cron, such as Europe/Berlin."),
            config_options,
        )
    ):
        command = option(command)
    return command


@click.command("serve")
@_deployment_options
def serve_command(cron: str | None, interval: timedelta | None, timezone: str, **what: Any) -> None:
    """Run SOURCE (none: the demo set) on a schedule, from this process, until it is stopped.

    Needs a Prefect server (`prefect server start`) and PREFECT_API_URL. Every run works in the same folder. Without
    a schedule it waits for runs that are triggered in the UI or through the API.
    """
    _refuse_contradictions(cron, interval, what)
    _require_server()
    from purify.orchestration.deployments import serve

    timetable = _timetable(cron, interval, timezone)
    request, name = _request(**what)
    serve(request, name, timetable)


@click.command("deploy")
@_deployment_options
@click.option("--pool", default="purify", show_default=True, help="Work pool; a process pool is made if there is none.")
@click.option("--file", "file", type=FILE, help="Deploy all that a prefect.yaml describes; give it alone.")
@json_option
def deploy_command(
    cron: str | None,
    interval: timedelta | None,
    timezone: str,
    pool: str,
    file: Path | None,
    as_json: bool,
    **what: Any,
) -> None:
    """Put SOURCE (none: the demo set) on the Prefect server as a deployment that workers run.

    Needs a Prefect server (`prefect server start`) and PREFECT_API_URL. Every run works in the same folder.
    """
    if file is not None:
        given = [value for key, value in what.items() if key != "out"]
        if any(given) or cron or interval:
            raise click.UsageError("--file deploys what the file describes; give it alone, or with --pool")
    _refuse_contradictions(cron, interval, what)
    _require_server()
    from purify.orchestration.deployments import deploy, deploy_file

    if file is not None:
        answer(deploy_file(file, pool=pool), as_json=as_json)
        return
    timetable = _timetable(cron, interval, timezone)
    request, name = _request(**what, quiet=as_json)
    answer(deploy(request, name, timetable, pool=pool), as_json=as_json)


def _refuse_contradictions(cron: str | None, interval: timedelta | None, what: Mapping[str, Any]) -> None:
    if cron and interval:
        raise click.UsageError("--cron and --interval: give one of them")
    inputs = ("images", "pairs", "embeddings", "reviews")
    if what["source"] is None and any(what[name] for name in inputs):
        raise click.UsageError("--images, --pairs, --embeddings and --reviews belong to a SOURCE; give one")


def _require_server() -> None:
    from purify.orchestration.prefect_api import require_server

    require_server()


def _timetable(cron: str | None, interval: timedelta | None, timezone: str) -> Timetable:
    from purify.orchestration.deployments import Timetable

    timetable = Timetable(cron, interval, timezone)
    timetable.schedule()  # refused before the demo set is drawn
    return timetable


def _request(
    *,
    source: Location | None,
    images: tuple[Location, ...],
    pairs: Location | None,
    embeddings: Location | None,
    reviews: Location | None,
    rounds: int | None,
    out: Location,
    name: str | None,
    config_file: Path | None,
    overrides: tuple[str, ...],
    quiet: bool = False,
) -> tuple[RunRequest, str]:
    """The request that each run of the deployment gets, and the deployment's name."""
    from purify.pipeline.request import RunRequest, run_folder

    settings = [*overrides, *input_settings(images, pairs, reviews, rounds)]
    name = name or (source.stem if source else "demo")
    folder = run_folder(out, name)
    if source is None:
        from purify_demo.request import DEMO_SETTINGS, demo_request

        short = () if config_file else DEMO_SETTINGS
        return demo_request(folder, load_config(config_file, [*short, *settings]), quiet=quiet), name
    return RunRequest.of(source, folder, load_config(config_file, settings), embeddings=embeddings), name
