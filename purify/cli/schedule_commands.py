"""``purify serve`` and ``purify deploy``: the flow on a schedule, and as a form in the Prefect UI."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from purify.cli.answers import answer
from purify.cli.command import command
from purify.cli.options import FILE, all_of, json_option
from purify.cli.run_options import RunOptions, run_options

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


_schedule_options = all_of(
    click.option("--name", help="Name of the deployment and of its run's folder; default: that of the source."),
    click.option("--cron", help='Schedule in cron form, such as "0 2 * * *": each night at two.'),
    click.option("--interval", callback=_interval, help="Time between runs, such as 30m, 12h or 1d."),
    click.option("--timezone", default="UTC", show_default=True, help="Time zone of --cron, such as Europe/Berlin."),
)


@command("serve", example='purify serve faces/ --out runs --cron "0 2 * * *"')
@run_options
@_schedule_options
def serve_command(
    options: RunOptions, name: str | None, cron: str | None, interval: timedelta | None, timezone: str
) -> None:
    """Run SOURCE on a schedule from this process.

    Without SOURCE, the demo set. Needs a Prefect server (`prefect server start`) and PREFECT_API_URL. All runs share
    one folder. Without a schedule, it waits for runs started in the UI or through the API; Ctrl-C ends it.
    """
    _refuse_contradictions(options, cron, interval)
    _require_server()
    from purify.orchestration.deployments import serve

    timetable = _timetable(cron, interval, timezone)
    request, name = _request(options, name)
    serve(request, name, timetable)


@command("deploy", example="purify deploy faces/ --out runs --interval 12h --pool purify")
@run_options
@_schedule_options
@click.option("--pool", default="purify", show_default=True, help="Work pool; made as a process pool if missing.")
@click.option("--file", "file", type=FILE, help="Deploy everything in a prefect.yaml; give it alone.")
@json_option
def deploy_command(
    options: RunOptions,
    name: str | None,
    cron: str | None,
    interval: timedelta | None,
    timezone: str,
    pool: str,
    file: Path | None,
    as_json: bool,
) -> None:
    """Deploy SOURCE on the Prefect server for its workers.

    Without SOURCE, the demo set. Needs a Prefect server (`prefect server start`) and PREFECT_API_URL. All runs share
    one folder.
    """
    if file is not None:
        given = (options.source, options.embeddings, options.config_file, options.settings, name, cron, interval)
        if any(given):
            raise click.UsageError("--file deploys what the file describes; give it alone, or with --pool")
    _refuse_contradictions(options, cron, interval)
    _require_server()
    from purify.orchestration.deployments import deploy, deploy_file

    if file is not None:
        answer(deploy_file(file, pool=pool), as_json=as_json)
        return
    timetable = _timetable(cron, interval, timezone)
    request, name = _request(options, name, quiet=as_json)
    answer(deploy(request, name, timetable, pool=pool), as_json=as_json)


def _refuse_contradictions(options: RunOptions, cron: str | None, interval: timedelta | None) -> None:
    if cron and interval:
        raise click.UsageError("--cron and --interval: give one of them")
    options.require_source_for_inputs()


def _require_server() -> None:
    from purify.orchestration.prefect_api import require_server

    require_server()


def _timetable(cron: str | None, interval: timedelta | None, timezone: str) -> Timetable:
    from purify.orchestration.deployments import Timetable

    timetable = Timetable(cron, interval, timezone)
    timetable.schedule()  # an invalid one is refused before the demo set is drawn
    return timetable


def _request(options: RunOptions, name: str | None, *, quiet: bool = False) -> tuple[RunRequest, str]:
    """The request of every run of the deployment, and the deployment's name."""
    from purify.pipeline.request import run_folder

    name = name or (options.source.stem if options.source else "demo")
    return options.request(run_folder(options.out, name), quiet=quiet), name
