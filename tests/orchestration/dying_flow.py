"""The flow in a process that ends itself as ``kill -9`` would, in the task that a file beside the run folder names.

Where a task does its work as a stage, it dies when the files of the stage are there and its record is not: the state
that a resumed run must not trust.
"""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefect import Task
from prefect.runtime import task_run

import purify.orchestration.tasks
from purify.orchestration.flow import purify_flow
from purify.storage.run_folder import RunFolder

__all__ = ["purify_flow"]


def order(run_folder: Path, task: str) -> Path:
    """The file that has a run die once in a task."""
    return run_folder.parent / f"die-in-{run_folder.name}-{task}"


def die_if_ordered(run: RunFolder, task: str) -> None:
    if order(run.root, task).exists():
        order(run.root, task).unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def _dying_stage(run_stage: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(run_stage)
    def wrapper(run: RunFolder, stage: str, inputs: Any, outputs: Any, work: Callable[[], None]) -> None:
        def work_and_die() -> None:
            work()
            die_if_ordered(run, task_run.get_task_name() or "")

        run_stage(run, stage, inputs, outputs, work_and_die)

    return wrapper


def _dying_task(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(run: RunFolder, *arguments: Any, **options: Any) -> Any:
        result = function(run, *arguments, **options)
        die_if_ordered(run, name)
        return result

    return wrapper


RunFolder.run_stage = _dying_stage(RunFolder.run_stage)  # type: ignore[method-assign]
for _task in [value for value in vars(purify.orchestration.tasks).values() if isinstance(value, Task)]:
    _task.fn = _dying_task(_task.name, _task.fn)
