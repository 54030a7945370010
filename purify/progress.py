"""Progress of long work, independent of its display, and bars for a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

#: Least time between two log lines of a stage.
LINE_SECONDS = 15.0


class Progress(Protocol):
    """Callback that receives the progress of a piece of work."""

    def __call__(self, done: int, total: int, detail: str = "") -> None:
        """`done` of `total` units; `detail` is a short text such as the loss."""


def silent(done: int, total: int, detail: str = "") -> None:
    """Ignore the progress."""


class ProgressBoard(Protocol):
    """Display of the progress of several, possibly concurrent stages."""

    def stage(self, name: str) -> Progress:
        """Progress callback of the stage `name`."""


class _Bars:
    """One bar per stage, for a terminal."""

    def __init__(self, bars: RichProgress) -> None:
        self._bars = bars

    def stage(self, name: str) -> Progress:
        bar = self._bars.add_task(name, total=None, detail="")

        def report(done: int, total: int, detail: str = "") -> None:
            self._bars.update(bar, completed=done, total=total, detail=detail)

        return report


class _Lines:
    """Periodic lines per stage, for a log."""

    def stage(self, name: str) -> Progress:
        began = shown = time.monotonic()

        def report(done: int, total: int, detail: str = "") -> None:
            nonlocal shown
            now = time.monotonic()
            if done < total and now - shown < LINE_SECONDS:
                return
            shown = now
            left = (now - began) * (total - done) / max(done, 1)
            print(f"{name}: {done} of {total}, {left:.0f} s left  {detail}".rstrip(), file=sys.stderr, flush=True)

        return report


class _Nothing:
    def stage(self, name: str) -> Progress:
        return silent


QUIET: ProgressBoard = _Nothing()
"""A board that shows nothing."""


@contextmanager
def progress_board(*, quiet: bool = False) -> Iterator[ProgressBoard]:
    """Show progress on stderr while the context is open: bars on a terminal, lines in a log, nothing when `quiet`."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield QUIET if quiet else _Lines()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[detail]}"),
    )
    with RichProgress(*columns, console=console, refresh_per_second=2) as bars:
        yield _Bars(bars)
