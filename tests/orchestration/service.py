"""A real Prefect server and worker for tests: processes of their own, on the loopback interface, behind a password."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
SECRETS = {
    "PREFECT_API_AUTH_STRING": "admin:server-password-b7c1",
    "AWS_SECRET_ACCESS_KEY": "storage-password-91fa",
}
_PATIENCE = 600  # a loaded machine is slow; nothing waits so long on a quiet one


def wait_for(condition: Callable[[], Any], *, what: str, seconds: float = _PATIENCE) -> Any:
    """The first true value of `condition`."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.25)
    return found


@dataclass(frozen=True)
class Service:
    """A running server."""

    home: Path
    url: str
    environment: dict[str, str]

    @property
    def database(self) -> bytes:
        """All that the server has stored."""
        return b"".join(path.read_bytes() for path in self.home.glob("prefect.db*"))

    def client(self) -> Any:
        """A client of its API."""
        from prefect.client.orchestration import get_client

        return get_client(sync_client=True)

    def trigger(self, deployment: str, **parameters: Any) -> Any:
        """Ask for a run of ``purify/<deployment>``; its id."""
        with self.client() as client:
            found = client.read_deployment_by_name(f"purify/{deployment}")
            return client.create_flow_run_from_deployment(found.id, parameters=parameters).id

    def flow_run(self, identifier: Any) -> Any:
        """A flow run as it is now."""
        with self.client() as client:
            return client.read_flow_run(identifier)

    def finished(self, identifier: Any) -> Any:
        """The flow run when it has ended, however it ended."""

        def ended() -> Any:
            run = self.flow_run(identifier)
            return run if run.state.is_final() else None

        return wait_for(ended, what=f"the end of flow run {identifier}")

    def artifacts(self, identifier: Any) -> dict[str, Any]:
        """Artifacts of a flow run by key."""
        from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

        with self.client() as client:
            found = client.read_artifacts(
                artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[identifier]))
            )
        return {artifact.key: artifact for artifact in found}

    def logs(self, identifier: Any) -> str:
        """All log lines of a flow run."""
        from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId

        with self.client() as client:
            lines = client.read_logs(log_filter=LogFilter(flow_run_id=LogFilterFlowRunId(any_=[identifier])), limit=200)
        return "\n".join(line.message for line in lines)


@contextmanager
def process(command: list[str], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`command` while the context is open, with what it starts; its output in `log`."""
    with log.open("ab") as stream:
        child = subprocess.Popen(
            command, env=environment, cwd=REPOSITORY, stdout=stream, stderr=stream, start_new_session=True
        )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(timeout=30)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


@contextmanager
def running_server(home: Path) -> Iterator[Service]:
    """``prefect server start`` with all its defaults but the port, and this process as its client."""
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    environment = {
        **os.environ,
        **SECRETS,
        "PREFECT_API_URL": url,
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_API_AUTH_STRING": SECRETS["PREFECT_API_AUTH_STRING"],
        "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "4",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PYTHONPATH": str(REPOSITORY),
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)]
    settings = {PREFECT_API_URL: url, PREFECT_API_AUTH_STRING: SECRETS["PREFECT_API_AUTH_STRING"]}
    with process(command, environment, home / "server.log") as server, temporary_settings(settings):
        service = Service(home, url, environment)

        def healthy() -> bool:
            assert server.poll() is None, (home / "server.log").read_text()
            with service.client() as client:
                try:
                    return client.api_healthcheck() is None
                except RuntimeError:
                    return False

        wait_for(healthy, what="the server")
        yield service


@contextmanager
def running_worker(service: Service, pool: str) -> Iterator[None]:
    """``prefect worker start`` for a pool."""
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool]
    with process(command, service.environment, service.home / "worker.log"):
        yield
