"""How a run that failed says so on the server: in the words of our errors, which tell what to do; no traceback."""

from __future__ import annotations

import logging
from typing import Any

from prefect import State
from prefect.logging import get_run_logger
from prefect.states import Failed

from purify.errors import PurifyError


def failed(error: PurifyError | OSError) -> State[Any]:
    """The state to end the running flow with; whoever called the flow gets `error` raised."""
    logging.getLogger("prefect.flow_runs").addFilter(_without_own_tracebacks)  # a second time it changes nothing
    get_run_logger().error("%s", error)
    return Failed(message=str(error), data=error)


def _without_own_tracebacks(record: logging.LogRecord) -> bool:
    """Leave out what Prefect logs of a run in a worker's child that has ended with an error of ours: it was said."""
    return record.exc_info is None or not isinstance(record.exc_info[1], PurifyError)
