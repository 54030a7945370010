"""Progress of a flow's stages: bars on a terminal, and artifacts in the Prefect UI."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from purify.orchestration.artifacts import task_progress
from purify.progress import QUIET, Progress, ProgressBoard

_terminal: ProgressBoard = QUIET


@contextmanager
def show_on(board: ProgressBoard) -> Iterator[None]:
    """Show the stages of flows run inside the context on `board`, too."""
    global _terminal  # noqa: PLW0603  (flow parameters must be plain values, so the terminal is reached this way)
    _terminal = board
    try:
        yield
    finally:
        _terminal = QUIET


def flow_board() -> ProgressBoard:
    """The board of the running flow."""
    return _FlowBoard(_terminal)


class _FlowBoard:
    """An artifact of the running task, and the terminal's bar."""

    def __init__(self, terminal: ProgressBoard) -> None:
        self._terminal = terminal

    def stage(self, name: str) -> Progress:
        artifact, bar = task_progress(name), self._terminal.stage(name)

        def report(done: int, total: int, detail: str = "") -> None:
            artifact(done, total, detail)
            bar(done, total, detail)

        return report
