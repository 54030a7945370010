"""A click command whose help ends with an example."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import click


class ExampleCommand(click.Command):
    """A command with the line `example` at the end of its help."""

    def __init__(self, *args: Any, example: str, **values: Any) -> None:
        super().__init__(*args, **values)
        self.example = example

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example, unwrapped."""
        write_lines(formatter, "Example", [self.example])


class ExampleGroup(click.Group):
    """Commands under one name, with the line `example` at the end of the help."""

    def __init__(self, *args: Any, example: str, **values: Any) -> None:
        super().__init__(*args, **values)
        self.example = example

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example, unwrapped."""
        write_lines(formatter, "Example", [self.example])


def command(name: str, *, example: str) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a function the command `name`; its docstring is the help, its first sentence the line in the overview."""
    return click.command(name, cls=ExampleCommand, example=example)


def group(name: str, *, example: str) -> Callable[[Callable[..., Any]], click.Group]:
    """Make a function the group `name`; docstring and example as for `command`."""
    return click.group(name, cls=ExampleGroup, example=example)


def walk(commands: Mapping[str, click.Command], prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command by its full name, such as ``lists apply``, groups before their own."""
    for name, one in commands.items():
        yield f"{prefix}{name}", one
        if isinstance(one, click.Group):
            yield from walk(one.commands, f"{prefix}{name} ")


def write_lines(formatter: click.HelpFormatter, heading: str, lines: Sequence[str]) -> None:
    """Write a section of unwrapped lines."""
    with formatter.section(heading):
        for line in lines:
            formatter.write(f"{'':>{formatter.current_indent}}{line}\n")
