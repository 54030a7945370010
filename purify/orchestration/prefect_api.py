"""The API server that a run reports to: the configured one, or a temporary one of its own."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from purify.errors import InputError, PurifyError
from purify.orchestration.temporary_server import HOST, TemporaryServer, launch_server, wait_until_ready

START_SECONDS = 180.0
"""Longest wait for a temporary server. Idle cores need about four seconds, busy ones a multiple."""

_temporary: TemporaryServer | None = None


@contextlib.contextmanager
def prefect_api(*, meanwhile: Callable[[], object] = lambda: None) -> Iterator[str]:
    """Provide a Prefect API for flows run inside the context; yields its URL.

    A server configured by the user (``PREFECT_API_URL``, a profile, or ``prefect.toml``) is used as it is.
    Otherwise one temporary server is started for this process and the children of its task runners. It runs
    until the process ends, because Prefect sends the last logs and events at exit, and serves later calls,
    too. Its history is kept in ``PREFECT_HOME``.

    Prefect is kept quiet and without telemetry by `be_quiet`, which is effective only before the import of
    Prefect: enter the context before importing any module that imports it.

    Parameters
    ----------
    meanwhile
        Called during the start of a temporary server, if one is started.

    Raises
    ------
    PurifyError
        If the configured server doesn't answer, or the temporary one doesn't start.
    """
    be_quiet()
    # Prefect's settings take a second to import: a server that is probably needed starts meanwhile.
    early = None if _a_server_may_be_configured() else _launch({})
    from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

    configured = get_current_settings().api.url
    if configured:
        if early is not None:
            early.stop()
        _require_healthy(configured)
        yield configured
        return
    url = _temporary_server(early, meanwhile).api_url
    with temporary_settings({PREFECT_API_URL: url}):
        yield url


def require_server() -> str:
    """Return the URL of the server configured by the user, for work that outlives this process.

    Prefect keeps logging on the terminal, since a service has no other output. Call this before importing any module
    that imports Prefect.

    Raises
    ------
    InputError
        If no server is configured.
    PurifyError
        If it doesn't answer.
    """
    send_no_telemetry()
    from prefect.settings import get_current_settings

    configured = get_current_settings().api.url
    if not configured:
        raise InputError(
            "no Prefect server is configured, and a schedule needs one that stays: start it (`prefect server start`),"
            " then set PREFECT_API_URL=http://127.0.0.1:4200/api, here and for the worker"
        )
    _require_healthy(configured)
    return configured


def send_no_telemetry() -> None:
    """Set Prefect's environment to no telemetry; effective only before the import of Prefect."""
    os.environ.setdefault("DO_NOT_TRACK", "1")
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")


def be_quiet() -> None:
    """Set Prefect's environment to no telemetry and no log on the terminal, unless the user chose a level.

    The server still gets a run's whole log, for its pages. Errors reach the user as exceptions; on the
    terminal Prefect would print their tracebacks a second time.
    """
    send_no_telemetry()
    if "PREFECT_LOGGING_LEVEL" not in os.environ:
        os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")


_NOT_ADMITTED = (401, 403)


def _require_healthy(url: str) -> None:
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectHTTPStatusError

    problem: Exception | None
    without_password = re.sub(r"//[^/@]*@", "//", url)
    try:
        with get_client(sync_client=True) as client:
            problem = client.api_healthcheck()
            if problem is None:
                client.read_flows(limit=1)  # the health check needs no authorization
    except RuntimeError as error:  # Prefect's error for a failed connection
        problem = error
    except PrefectHTTPStatusError as error:
        if error.response.status_code in _NOT_ADMITTED:
            raise PurifyError(
                f"the configured Prefect server {without_password} does not let this process in; set"
                " PREFECT_API_AUTH_STRING to the server's user:password"
            ) from error
        problem = error
    if problem is not None:
        raise PurifyError(
            f"the configured Prefect server {without_password} does not answer ({problem}). Start it"
            " (`prefect server start`), or run without one: unset PREFECT_API_URL, also in the profile"
            " (`prefect config unset PREFECT_API_URL`)"
        ) from problem


def _a_server_may_be_configured() -> bool:
    """Guess by quick checks whether a server is configured, before the slow import of Prefect's settings."""
    home = Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()
    files = home / "profiles.toml", Path("prefect.toml")
    return "prefect" in sys.modules or bool(os.environ.get("PREFECT_API_URL")) or any(map(Path.exists, files))


def _temporary_server(early: TemporaryServer | None, meanwhile: Callable[[], object]) -> TemporaryServer:
    global _temporary  # noqa: PLW0603 - one server per process
    if _temporary is None or not _temporary.is_running():
        from prefect.settings import get_current_settings

        server = early or _launch(get_current_settings().to_environment_variables(exclude_unset=True))
        wait_until_ready(server, timeout=START_SECONDS, meanwhile=meanwhile)
        atexit.register(server.stop)
        _temporary = server
    return _temporary


def _launch(settings: dict[str, str]) -> TemporaryServer:
    _bypass_proxy(HOST)
    return launch_server({**os.environ, **settings})


def _bypass_proxy(host: str) -> None:
    """Exempt requests to this machine's own server from the proxy of the environment."""
    exceptions = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = [name.strip() for name in exceptions.split(",") if name.strip()]
    if host not in hosts:
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join([*hosts, host])
