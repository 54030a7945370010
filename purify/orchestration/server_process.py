"""The program that a temporary Prefect API server runs; see `purify.orchestration.temporary_server`, which starts it.

Its argument is the descriptor of a listening socket. It imports nothing of this project, so that it runs
also where the project is not on the import path.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time

_SHUTDOWN_SECONDS = 3


def serve(listener: socket.socket) -> None:
    """Serve Prefect's API on a listening socket until standard input is closed.

    The watch starts before the imports, which take seconds: a parent that dies meanwhile is noticed too.
    """
    threading.Thread(target=_end_with_parent, daemon=True, name="watch-parent").start()
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


def _end_with_parent() -> None:
    # Nobody writes to this pipe: the read returns when its other end is closed. Not through sys.stdin,
    # whose lock, held here, would make the interpreter abort when the server ends for another reason.
    os.read(0, 1)
    # The server's own handler of SIGTERM shuts down in order; before it is set, the default one ends us.
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(2 * _SHUTDOWN_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
