"""The program of a temporary Prefect API server, started by `purify.orchestration.temporary_server`.

Its argument is the descriptor of a listening socket.
"""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import sqlite3
import sys
from pathlib import Path

from purify.processes import end_with_parent
from purify.storage.own_files import discard_scratch, remove_abandoned, scratch_path

_SHUTDOWN_SECONDS = 3
_NEW_DATABASE = Path(__file__).with_name("prefect_database.sql")
_REVISION = "a3b9c7d2e5f1"
"""Last migration in the file."""


def serve(listener: socket.socket) -> None:
    """Serve Prefect's API on a listening socket until standard input is closed.

    The watch starts before the slow imports, so that the parent's death is noticed during them, too.
    """
    # The server's own handler of SIGTERM shuts down in order; until it is set, the default one ends this process.
    end_with_parent(shutdown_seconds=2 * _SHUTDOWN_SECONDS)
    gc.disable()  # saves a quarter of the import time
    import uvicorn
    from prefect.server.api.server import create_app

    _create_database()
    config = uvicorn.Config(
        create_app(),
        lifespan="on",
        log_level="error",
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )
    gc.freeze()
    gc.enable()
    uvicorn.Server(config).run(sockets=[listener])


def _create_database() -> None:
    """Write a new database as by Prefect's migrations, but four seconds faster.

    A newer Prefect migrates it further. A database elsewhere, or one that can't be written, is left to Prefect.
    """
    from prefect.server import database
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    file, url = settings.home / "prefect.db", settings.server.database.connection_url
    known = Path(database.__file__).parent.glob(f"_migrations/versions/sqlite/*_{_REVISION}_*.py")
    if file.exists() or url is None or url.get_secret_value() != f"sqlite+aiosqlite:///{file}" or not any(known):
        return
    new = scratch_path(file)
    remove_abandoned([settings.home])
    with contextlib.suppress(OSError, sqlite3.Error):
        try:
            with contextlib.closing(sqlite3.connect(new)) as connection:
                connection.executescript(_NEW_DATABASE.read_text(encoding="utf-8"))
            os.link(new, file)  # fails if another process was faster
        finally:
            discard_scratch(new)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
