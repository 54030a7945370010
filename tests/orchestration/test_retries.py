from __future__ import annotations

import errno

import pytest

from purify.errors import InputError, PurifyError
from purify.orchestration.retries import STAGE_RETRIES, is_transient


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (OSError(errno.EIO, "Input/output error", "a.tar"), True),
        (OSError(errno.ESTALE, "Stale file handle"), True),
        (ConnectionResetError(), True),
        (TimeoutError("no answer"), True),
        (caused(PurifyError("out.parquet: can't be written"), OSError(errno.EIO, "")), True),
        (caused(InputError("t.csv: can't be read"), TimeoutError()), True),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (FileNotFoundError(errno.ENOENT, ""), False),
        (PermissionError(errno.EACCES, ""), False),
        (InputError("t.csv, row 2: no label"), False),
        (caused(InputError("t.csv: not found"), FileNotFoundError(errno.ENOENT, "")), False),
        (PurifyError("training collapsed"), False),
        (ValueError("ours"), False),
    ],
)
def test_only_what_may_pass_by_itself_is_tried_again(error: Exception, again: bool) -> None:
    assert is_transient(error) is again


def test_a_circle_of_causes_ends() -> None:
    first, second = PurifyError("a"), PurifyError("b")
    first.__cause__, second.__cause__ = second, first
    assert not is_transient(first)


@pytest.mark.parametrize(
    ("error", "attempts"), [(OSError(errno.EIO, "Input/output error"), 3), (InputError("no label"), 1)]
)
def test_a_task_is_tried_again_where_that_can_help(prefect_server: str, error: Exception, attempts: int) -> None:
    from prefect import flow, task

    calls = []

    @task(**STAGE_RETRIES)
    def stage() -> None:
        calls.append(1)
        if len(calls) < 3:
            raise error

    @flow
    def run() -> object:
        return stage.with_options(retry_delay_seconds=[0, 0, 0])(return_state=True)

    state = run(return_state=True)
    assert len(calls) == attempts
    assert state.is_completed() is (attempts == 3)


def test_delays_grow() -> None:
    delays = STAGE_RETRIES["retry_delay_seconds"]
    assert len(delays) == STAGE_RETRIES["retries"]
    assert delays == sorted(delays)
