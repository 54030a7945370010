from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from purify.errors import PurifyError
from purify.orchestration.prefect_api import be_quiet, prefect_api
from purify.orchestration.temporary_server import launch_server, wait_until_ready

REPOSITORY = Path(__file__).resolve().parents[2]

RUN_A_FLOW = """
from purify.orchestration.prefect_api import prefect_api
with prefect_api() as url:
    from prefect import flow
    from prefect.logging import get_run_logger

    @flow(name="quiet")
    def quiet():
        get_run_logger().info("a line for the server")
        return "done"

    print(url, quiet(), flush=True)
    WAIT
"""


NAME_A_SERVER = """
from purify.orchestration import prefect_api

launched = []
launch = prefect_api.launch_server
prefect_api.launch_server = lambda environment: launched.append(launch(environment)) or launched[-1]
try:
    with prefect_api.prefect_api():
        pass
except Exception as error:
    print(type(error).__name__, [server.is_running() for server in launched])
"""

MIGRATE = """
import asyncio
from prefect.server.database import provide_database_interface

asyncio.run(provide_database_interface().create_db())
"""


def schema(database: Path) -> dict[str, list[str]]:
    """Parts of a SQLite database's statements by name, and the revision of its migrations, which order parts anyhow."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        revision = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        statements = connection.execute("SELECT name, coalesce(sql, '') FROM sqlite_master").fetchall()
    return {"revision": revision, **{name: sorted(re.sub(r"[\s()]", "", sql).split(",")) for name, sql in statements}}


def program(wait: str) -> list[str]:
    return [sys.executable, "-c", RUN_A_FLOW.replace("WAIT", wait)]


def refuses_connections(url: str) -> bool:
    host, port = url.removeprefix("http://").removesuffix("/api").split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) != 0


def happens(condition: Callable[[], bool], *, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_a_flow_run_is_recorded_on_the_server(prefect_server: str) -> None:
    from prefect import flow, task
    from prefect.client.orchestration import get_client

    @task
    def double(x: int) -> int:
        return 2 * x

    @flow(name="recorded")
    def recorded(x: int) -> int:
        return double(x)

    assert recorded(21) == 42
    with get_client(sync_client=True) as client:
        runs = [run for run in client.read_flow_runs() if run.parameters == {"x": 21}]
        assert str(client.api_url).rstrip("/") == prefect_server
    assert [run.state_name for run in runs] == ["Completed"]


def test_a_second_entry_uses_the_server_that_is_there(prefect_server: str) -> None:
    with prefect_api() as url:
        assert url == prefect_server


def test_a_dead_configured_server_is_an_error_with_the_remedy(prefect_server: str) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    dead = "http://127.0.0.1:9/api"
    with (
        temporary_settings({PREFECT_API_URL: dead}),
        pytest.raises(PurifyError, match=r"127\.0\.0\.1:9/api does not answer.*prefect server start.*unset"),
        prefect_api(),
    ):
        pass


def test_a_server_that_a_profile_names_is_used_and_the_one_started_early_ended(tmp_path: Path) -> None:
    profiles = tmp_path / "profiles.toml"
    profiles.write_text('active = "there"\n[profiles.there]\nPREFECT_API_URL = "http://127.0.0.1:9/api"\n')
    environment = {**os.environ, "PREFECT_HOME": str(tmp_path / "home"), "PREFECT_PROFILES_PATH": str(profiles)}
    command = [sys.executable, "-c", NAME_A_SERVER]
    ended = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout == "PurifyError [False]\n"


def test_no_server_is_started_early_where_the_environment_names_one(tmp_path: Path) -> None:
    environment = {**os.environ, "PREFECT_HOME": str(tmp_path), "PREFECT_API_URL": "http://127.0.0.1:9/api"}
    command = [sys.executable, "-c", NAME_A_SERVER]
    ended = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout == "PurifyError []\n"


@pytest.mark.slow
def test_the_new_database_is_what_prefects_migrations_make(tmp_path: Path) -> None:
    migrated = {**os.environ, "PREFECT_HOME": str(tmp_path / "migrated")}
    subprocess.run([sys.executable, "-c", MIGRATE], env=migrated, check=True, capture_output=True)
    written = launch_server({**os.environ, "PREFECT_HOME": str(tmp_path / "written")})
    wait_until_ready(written, timeout=120)
    written.stop()
    expected = schema(tmp_path / "migrated" / "prefect.db")
    assert len(expected) > 100
    assert schema(tmp_path / "written" / "prefect.db") == expected
    assert sorted(path.name for path in (tmp_path / "written").glob("*.*")) == ["prefect.db"]  # and no memo of blocks


@pytest.mark.slow
def test_a_database_at_another_place_is_left_to_prefect(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/elsewhere.db"
    server = launch_server({**os.environ, "PREFECT_HOME": str(tmp_path), "PREFECT_SERVER_DATABASE_CONNECTION_URL": url})
    wait_until_ready(server, timeout=120)
    server.stop()
    assert (tmp_path / "elsewhere.db").exists()
    assert not (tmp_path / "prefect.db").exists()


@pytest.mark.slow
def test_an_unusable_home_is_an_error_with_the_server_log(tmp_path: Path) -> None:
    not_a_folder = tmp_path / "file"
    not_a_folder.touch()
    environment = {**os.environ, "PREFECT_HOME": str(not_a_folder / "home")}
    with pytest.raises(PurifyError, match=r"PREFECT_HOME(.|\n)*unable to open database file"):
        wait_until_ready(launch_server(environment), timeout=60)


def test_quiet_respects_a_level_that_the_user_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", raising=False)
    monkeypatch.setenv("PREFECT_LOGGING_LEVEL", "DEBUG")
    be_quiet()
    assert "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL" not in os.environ
    monkeypatch.delenv("PREFECT_LOGGING_LEVEL")
    monkeypatch.setenv("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "INFO")
    be_quiet()
    assert os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] == "INFO"


def test_the_server_program_ends_when_nobody_holds_its_input() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ended = subprocess.run(
            [sys.executable, "-P", "-m", "purify.orchestration.server_process", str(listener.fileno())],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            pass_fds=[listener.fileno()],
            stdin=subprocess.DEVNULL,
            timeout=30,
            check=False,
        )
    assert ended.returncode == -signal.SIGTERM


@pytest.mark.slow
def test_quiet_and_gone_afterwards_even_behind_a_proxy(prefect_server: str) -> None:
    """`prefect_server` only makes sure that the database is there: the program starts a server of its own."""
    proxy = {
        "http_proxy": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "no_proxy": "",
        "NO_PROXY": "",
    }
    ended = subprocess.run(
        program("pass"),
        cwd=REPOSITORY,
        env={**os.environ, **proxy},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    url, result = ended.stdout.split()
    assert (result, ended.stderr) == ("done", "")
    assert url != prefect_server
    assert refuses_connections(url)


@pytest.mark.slow
def test_kill_9_leaves_no_server_behind(prefect_server: str) -> None:
    with subprocess.Popen(
        program("import time; time.sleep(120)"), cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[0]
            assert url != prefect_server
            assert not refuses_connections(url)
        finally:
            process.send_signal(signal.SIGKILL)
    assert happens(lambda: refuses_connections(url), seconds=10)
