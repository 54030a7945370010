"""A Prefect API server that ends with the process that started it.

Prefect's own temporary server outlives a parent killed with SIGKILL. This one can't: the parent holds the
writing end of a pipe to the server's standard input, and the kernel closes it at any end of the parent.
The parent also creates the listening socket, so that there is no port to guess and no need to poll: the
first request waits in the socket's queue until the server is up.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from purify.errors import PurifyError

HOST = "127.0.0.1"
_STOP_SECONDS = 10
_LAST_WORDS_SECONDS = 3
_LOG_TAIL_BYTES = 2000
_IMPORT_ROOT = Path(__file__).resolve().parents[2]
_SERVER_ENVIRONMENT = {
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "NOTSET",  # for the log file, not the terminal
    # Block types are registered at the first save of a block. A memo would keep the next server of this PREFECT_HOME
    # from registering them.
    "PREFECT_SERVER_MEMOIZE_BLOCK_AUTO_REGISTRATION": "0",
    "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "0",
    "PREFECT_UI_ENABLED": "0",
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
}


@dataclass(frozen=True)
class TemporaryServer:
    """A running server: its process, API URL, and log."""

    process: subprocess.Popen[bytes]
    api_url: str
    log: IO[bytes]

    def is_running(self) -> bool:
        """Whether the process is still running."""
        return self.process.poll() is None

    def stop(self) -> None:
        """Close the pipe and wait until the server has ended."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            self.process.wait(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def launch_server(environment: dict[str, str]) -> TemporaryServer:
    """Start a server on a free port of the loopback interface; `wait_until_ready` waits until it answers.

    Parameters
    ----------
    environment
        Environment of the server's process, where Prefect finds its settings (``PREFECT_HOME``, ...).
    """
    # The server's log goes to an unnamed file: it is of interest only if the start fails.
    log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the server
    with socket.create_server((HOST, 0), backlog=128) as listener:
        api_url = f"http://{HOST}:{listener.getsockname()[1]}/api"
        process = subprocess.Popen(
            # -P: nothing is imported from the current folder.
            [sys.executable, "-P", "-m", "purify.orchestration.server_process", str(listener.fileno())],
            pass_fds=[listener.fileno()],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env={**environment, **_SERVER_ENVIRONMENT, **_import_path(environment)},
            # Ctrl-C in a terminal must not reach it: the flow has yet to report its outcome.
            start_new_session=True,
        )
    return TemporaryServer(process, api_url, log)


def wait_until_ready(
    server: TemporaryServer, *, timeout: float, meanwhile: Callable[[], object] = lambda: None
) -> None:
    """Wait until a launched server answers; stop it if it does not.

    Parameters
    ----------
    timeout
        Seconds to wait.
    meanwhile
        Called before waiting, for instance for slow imports.

    Raises
    ------
    PurifyError
        If the server ends or does not answer in time; the message includes the end of its log.
    """
    try:
        meanwhile()
        _wait_until_healthy(server, timeout=timeout)
    except BaseException:
        server.stop()
        raise


def _import_path(environment: dict[str, str]) -> dict[str, str]:
    """Environment in which the server's process finds this project, even if it is not installed."""
    paths = [environment.get("PYTHONPATH"), str(_IMPORT_ROOT)]
    return {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


def _wait_until_healthy(server: TemporaryServer, *, timeout: float) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{server.api_url}/health", timeout=timeout):
            pass
    except OSError as error:  # includes URLError, HTTPError, and a reset connection
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.process.wait(timeout=_LAST_WORDS_SECONDS)
        raise PurifyError(
            f"Prefect's temporary server did not come up within {timeout:g} s ({error}). Either start a"
            " server yourself (`prefect server start`, then set PREFECT_API_URL=http://127.0.0.1:4200/api),"
            " or set PREFECT_HOME to an empty folder that you can write to. The end of its log:\n"
            f"{_log_tail(server.log) or '(empty)'}"
        ) from error


def _log_tail(log: IO[bytes]) -> str:
    size = log.seek(0, os.SEEK_END)
    log.seek(max(0, size - _LOG_TAIL_BYTES))
    return log.read().decode(errors="replace").strip()
