"""How long work reports where it is, without knowing who looks; and bars for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress


class Progress(Protocol):
    """Called now and then with how much of a piece of work is done."""

    def __call__(self, done: int, total: int, detail: str = "") -> None:
        """`done` of `total` units; `detail` is a short text such as the loss."""


def silent(done: int, total: int, detail: str = "") -> None:
    """The progress of those who don't look."""


class ProgressBoard:
    """One bar a stage on the terminal (stderr); several stages may be at work at once."""

    def __init__(self, bars: RichProgress) -> None:
        self._bars = bars

    def stage(self, name: str) -> Progress:
        """A progress that moves the bar called `name`."""
        bar = self._bars.add_task(name, total=None, detail="")

        def report(done: int, total: int, detail: str = "") -> None:
            self._bars.update(bar, completed=done, total=total, detail=detail)

        return report


@contextmanager
def progress_board(*, quiet: bool = False) -> Iterator[ProgressBoard]:
    """Show bars while the context is open; nothing when `quiet` or when stderr is no terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[detail]}"),
    )
    bars = RichProgress(*columns, console=console, disable=quiet or not console.is_terminal, refresh_per_second=2)
    with bars:
        yield ProgressBoard(bars)
