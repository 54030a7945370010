"""Failed runs on the server's pages: the message of a purify error, without a traceback."""

from __future__ import annotations

import logging
from typing import Any

from prefect import State
from prefect.logging import get_run_logger
from prefect.states import Failed

from purify.errors import PurifyError


def failed(error: PurifyError | OSError) -> State[Any]:
    """Final state of the running flow; `error` is raised in the caller of the flow."""
    logging.getLogger("prefect.flow_runs").addFilter(_without_own_tracebacks)  # added once only
    get_run_logger().error("%s", error)
    return Failed(message=str(error), data=error)


def _without_own_tracebacks(record: logging.LogRecord) -> bool:
    """Suppress the traceback that Prefect logs in a worker's child for purify's own, already logged errors."""
    return record.exc_info is None or not isinstance(record.exc_info[1], PurifyError)
