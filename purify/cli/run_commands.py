"""``purify run-flow``: the whole pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from purify.cli.answers import answer, say
from purify.cli.command import command
from purify.cli.options import RUN_AT, json_option
from purify.cli.run_options import RunOptions, run_options
from purify.storage.locations import Location

if TYPE_CHECKING:
    from purify.pipeline.request import RunRequest


@command("run-flow", example="purify run-flow faces/ --pairs pairs.txt --out runs --name faces")
@run_options
@click.option("--name", help="Name of the run's folder; default: source and time.")
@click.option("--resume", type=RUN_AT, metavar="RUN", help="Continue this run, and take in what is new in its source.")
@click.option("--update", is_flag=True, help="Take in what is new in the run of this --name; start it if need be.")
@json_option
def run_flow_command(
    options: RunOptions, name: str | None, resume: Location | None, update: bool, as_json: bool
) -> None:
    """Clean SOURCE, retrain, and measure the gain.

    SOURCE is a folder or .tar of label/image, or a Parquet/CSV table with path and label; without it, a drawn demo set
    is cleaned. With --pairs, models trained on the given and on the cleaned set are compared.
    """
    from purify.orchestration.launch import run_request

    if resume is not None:
        _refuse_more_than_resume(options, name, update)
        from purify.pipeline.request import resumed_request

        request = resumed_request(resume, options.overrides)
    else:
        begun = _update(options, name) if update else None
        request = begun or _new_run(options, name, quiet=as_json)
    figures = run_request(request, quiet=as_json)
    if as_json:
        answer(figures, as_json=True)
        return
    from purify.pipeline.closing import closing_lines
    from purify.storage.run_folder import RunFolder

    say(closing_lines(RunFolder.at(request.run_folder)))


def _refuse_more_than_resume(options: RunOptions, name: str | None, update: bool) -> None:
    others = [setting for setting in options.settings if not setting.startswith("scale.")]
    if options.source or options.embeddings or options.config_file or others or name or update:
        raise click.UsageError(
            "--resume continues with the run's own source and settings; give it alone, or with --set scale.*"
        )


def _update(options: RunOptions, name: str | None) -> RunRequest | None:
    """The request of an update; None before the first run."""
    from purify.pipeline.request import existing_run, updated_request

    run = existing_run(options.out, name)
    if run is None:
        return None
    return updated_request(
        run,
        source=options.source,
        embeddings=options.embeddings,
        config_file=options.config_file,
        overrides=options.settings,
    )


def _new_run(options: RunOptions, name: str | None, *, quiet: bool) -> RunRequest:
    options.require_source_for_inputs()
    from purify.pipeline.request import default_name, new_run_folder

    name = name or default_name(options.source.stem if options.source else "demo")
    return options.request(new_run_folder(options.out, name), quiet=quiet)
