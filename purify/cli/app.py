"""The ``purify`` command: help in sections, and one message for every error."""

from __future__ import annotations

import os
import sys
from typing import Any

# Before torch or FAISS load: spinning OpenMP threads slow everything else down.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import click

from purify.cli import data_commands, export, result_commands, run_commands, schedule_commands, stage_commands
from purify.cli.command import write_lines
from purify.cli.invert_command import invert_command
from purify.cli.lists import lists_command
from purify.cli.overlap import overlap_command
from purify.cli.prove_command import prove_command
from purify.cli.review_command import review_command
from purify.errors import PurifyError, did_you_mean
from purify.version import __version__

SECTIONS: dict[str, list[click.Command]] = {
    "The whole job": [run_commands.run_flow_command],
    "Stage by stage": [
        stage_commands.ingest_command,
        stage_commands.align_command,
        stage_commands.train_command,
        stage_commands.embed_command,
        stage_commands.analyze_command,
        stage_commands.apply_command,
    ],
    "Results": [
        result_commands.report_command,
        review_command,
        result_commands.evaluate_command,
        prove_command,
        result_commands.score_command,
        invert_command,
        result_commands.forget_command,
    ],
    "For other tools": [export.export_command, export.export_model_command],
    "Lists and other sets": [lists_command, overlap_command],
    "Schedules": [schedule_commands.serve_command, schedule_commands.deploy_command],
    "Data and settings": [data_commands.demo_data_command, data_commands.config_command],
}
"""Heading -> the commands under it, in the order of ``purify --help``."""

_EXAMPLES = (
    "purify run-flow                              # try it on a drawn demo set",
    "purify run-flow faces/ --out runs            # clean a folder of label/image",
    "purify analyze faces.csv --embeddings e.parquet --out run",
    "purify review run                            # look at the doubtful faces",
)


class _Sections(click.Group):
    """Lists the commands by section, and turns errors into a message and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; tracebacks are for faults of the program only."""
        try:
            return super().invoke(ctx)
        except PurifyError as error:
            _fail(str(error), error.exit_code)
        except KeyboardInterrupt:
            _fail("interrupted; `purify run-flow --resume RUN` continues a run", 130)
        except OSError as error:
            _fail(f"{error.filename or 'file system'}: {error.strerror or error}", 1)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command by its name; the error for an unknown one suggests a similar name."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            ctx.fail(f"there is no command {args[0]!r}{did_you_mean(args[0], self.commands)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the headings, with a line per command."""
        room = formatter.width - 6 - max(map(len, self.commands))
        for heading, commands in SECTIONS.items():
            with formatter.section(heading):
                formatter.write_dl([(str(command.name), command.get_short_help_str(room)) for command in commands])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, unwrapped."""
        write_lines(formatter, "Examples", _EXAMPLES)


def _fail(message: str, code: int) -> None:
    click.echo(f"Error: {message}", err=True)
    sys.exit(code)


@click.group(cls=_Sections, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="purify")
def main() -> None:
    """Clean a noisy, web-labeled face set by sub-center ArcFace, with a reason for every image.

    A run is one folder. Every command reads and writes such folders; OUT and RUN may also be URLs (s3://...).
    """


for _section in SECTIONS.values():
    for _command in _section:
        main.add_command(_command)
