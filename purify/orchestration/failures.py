"""Failed runs on the server's pages: the message of our error, without a traceback."""

from __future__ import annotations

import logging
from typing import Any

from prefect import State
from prefect.logging import get_run_logger
from prefect.states import Failed

from purify.errors import PurifyError


def failed(error: PurifyError | OSError) -> State[Any]:
    """Final state of the running flow; the caller of the flow gets `error` raised."""
    logging.getLogger("prefect.flow_runs").addFilter(_without_own_tracebacks)  # a second time it changes nothing
    get_run_logger().error("%s", error)
    return Failed(message=str(error), data=error)


def _without_own_tracebacks(record: logging.LogRecord) -> bool:
    """Suppress the traceback that Prefect logs in a worker's child for our own errors, already logged in words."""
    return record.exc_info is None or not isinstance(record.exc_info[1], PurifyError)
