"""What a run shows while it works: bars on a terminal, progress artifacts in the Prefect UI."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from purify.orchestration.artifacts import task_progress
from purify.progress import Progress, ProgressBoard

_board: ProgressBoard | None = None


@contextmanager
def show_on(board: ProgressBoard) -> Iterator[None]:
    """Let the stages of this process show their progress on `board` too."""
    global _board  # noqa: PLW0603  (flow parameters must be plain values, so the terminal is reached this way)
    _board = board
    try:
        yield
    finally:
        _board = None


def progress_for(stage: str) -> Progress:
    """Progress of `stage`: a bar where there is a terminal, and an artifact of the running task."""
    artifact = task_progress(stage)
    bar = _board.stage(stage) if _board else None

    def report(done: int, total: int, detail: str = "") -> None:
        artifact(done, total, detail)
        if bar is not None:
            bar(done, total, detail)

    return report
