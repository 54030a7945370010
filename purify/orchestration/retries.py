"""Retries for failures of disks and networks, never for bad input."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any, Final

RETRIES: Final = 3
RETRY_DELAYS: Final = (2.0, 15.0, 90.0)
"""Seconds before each retry: a hiccup, a remount, a restart of a file server."""

_TRANSIENT = {
    getattr(errno, name)
    for name in (
        "EAGAIN",
        "EBUSY",
        "ECONNABORTED",
        "ECONNREFUSED",
        "ECONNRESET",
        "EHOSTDOWN",
        "EHOSTUNREACH",
        "EIO",
        "ENETDOWN",
        "ENETRESET",
        "ENETUNREACH",
        "EPIPE",
        "EREMOTEIO",
        "ESTALE",
        "ETIMEDOUT",
    )
    if hasattr(errno, name)
}


def is_transient(error: BaseException) -> bool:
    """Whether `error` or one of its causes is a transient failure of input or output.

    The cause of purify's own errors distinguishes a broken file from a broken disk.
    """
    return any(
        isinstance(cause, ConnectionError | TimeoutError) or (isinstance(cause, OSError) and cause.errno in _TRANSIENT)
        for cause in _causes(error)
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__


def worth_retrying(task: Any, task_run: Any, state: Any) -> bool:
    """`is_transient` in the form of Prefect's ``retry_condition_fn``: `state` holds the raised error."""
    return isinstance(state.data, BaseException) and is_transient(state.data)


STAGE_RETRIES: Final[dict[str, Any]] = {
    "retries": RETRIES,
    "retry_delay_seconds": list(RETRY_DELAYS),
    "retry_condition_fn": worth_retrying,
}
"""Options of a stage's task; a retried stage continues from its own resume points."""
