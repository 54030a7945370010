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
"""Longest wait for a temporary server. Idle cores need four, but busy ones a multiple of it."""

_temporary: TemporaryServer | None = None


@contextlib.contextmanager
def prefect_api(*, meanwhile: Callable[[], object] = lambda: None) -> Iterator[str]:
    """Give a Prefect API for the flows that are run inside; yields its URL.

    A server that the user configured (``PREFECT_API_URL``, a profile, or ``prefect.toml``) is used as it
    is. Otherwise one temporary server is started for this process and those that its task runners start.
    It stays until the process ends, because Prefect sends the last logs and events on its way out, and
    is used again by later calls. Its history is kept in ``PREFECT_HOME``.

    Quiet, offline, without telemetry: see `be_quiet`, which has an effect only while Prefect has not
    been imported, so enter this before importing a module that does.

    Parameters
    ----------
    meanwhile
        Done while a temporary server starts, if one is.

    Raises
    ------
    PurifyError
        If the configured server doesn't answer, or the temporary one doesn't start.
    """
    be_quiet()
    # Prefect's settings take a second to import: a server that is most likely needed starts meanwhile.
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
    """The URL of the server that the user configured, for what outlives this process.

    What Prefect logs on the terminal is left there: it is all that a service shows. Call it before a module that
    imports Prefect is imported.

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
    """Set Prefect's environment to no telemetry; it has an effect only while Prefect has not been imported."""
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
                client.read_flows(limit=1)  # a server says that it is well to anybody
    except RuntimeError as error:  # what Prefect makes of a connection that fails
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
    """Guess from what is quick to look at; Prefect's settings, once imported, know."""
    home = Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()
    files = home / "profiles.toml", Path("prefect.toml")
    return "prefect" in sys.modules or bool(os.environ.get("PREFECT_API_URL")) or any(map(Path.exists, files))


def _temporary_server(early: TemporaryServer | None, meanwhile: Callable[[], object]) -> TemporaryServer:
    global _temporary  # noqa: PLW0603 - one server a process
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
    """Keep requests to this machine's own server away from a proxy that the environment names."""
    exceptions = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = [name.strip() for name in exceptions.split(",") if name.strip()]
    if host not in hosts:
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join([*hosts, host])
