"""The flow in a process that ends itself as ``kill -9`` would, in the task that a file beside the run folder names.

Where a task does its work as a stage, it dies when the files of the stage are there and its record is not: the state
that a resumed run must not trust.
"""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from prefect.runtime import task_run

from purify.orchestration.flow import purify_flow
from purify.orchestration.tasks import TASKS
from purify.pipeline import fingerprint
from purify.storage.run_folder import RunFolder

__all__ = ["purify_flow"]


def order(run_folder: Path, task: str) -> Path:
    """The file that has a run die once in a task."""
    return run_folder.parent / f"die-in-{run_folder.name}-{task}"


def die_if_ordered(run: RunFolder, task: str) -> None:
    if order(run.root, task).exists():
        order(run.root, task).unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def _dying_write(write: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(write)
    def wrapper(run: RunFolder, *arguments: Any, **options: Any) -> None:
        die_if_ordered(run, task_run.get_task_name() or "")
        write(run, *arguments, **options)

    return wrapper


def _dying_task(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(run: RunFolder, *arguments: Any, **options: Any) -> Any:
        result = function(run, *arguments, **options)
        die_if_ordered(run, name)
        return result

    return wrapper


fingerprint._write = _dying_write(fingerprint._write)
for _field in fields(TASKS):
    _task = getattr(TASKS, _field.name)
    _task.fn = _dying_task(_task.name, _task.fn)
