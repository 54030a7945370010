"""The program of a temporary Prefect API server, which `purify.orchestration.temporary_server` starts.

Its argument is the descriptor of a listening socket.
"""

from __future__ import annotations

import socket
import sys

from purify.processes import end_with_parent

_SHUTDOWN_SECONDS = 3


def serve(listener: socket.socket) -> None:
    """Serve Prefect's API on a listening socket until standard input is closed.

    The watch starts before the imports, which take seconds, so that a parent's death is noticed meanwhile too.
    """
    # The server's own handler of SIGTERM shuts down in order; before it is set, the default one ends us.
    end_with_parent(shutdown_seconds=2 * _SHUTDOWN_SECONDS)
    import uvicorn
    from prefect.server.api.server import create_app

    config = uvicorn.Config(
        create_app,
        factory=True,
        lifespan="on",
        log_level="error",
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
