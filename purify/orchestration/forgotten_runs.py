"""Removal of what Prefect keeps of a run: its flow runs with their logs and artifacts, which show faces and labels."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING

from purify.orchestration.prefect_api import prefect_api

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

_PAGE = 100
_FLOW = "purify"
_LOG_SECONDS = 20.0
#: How long no new event may come: the server writes them every five seconds.
_EVENT_SECONDS = 7.0


def forget_flow_runs(run_folder: Path) -> int:
    """Delete the flow runs of a run folder with their logs and artifacts; returns the number of flow runs.

    The database file of a local server is compacted, since deleted rows stay readable in it until then.
    """
    with prefect_api():
        from prefect.client.orchestration import get_client
        from prefect.settings import get_current_settings

        with get_client(sync_client=True) as client:
            found = _flow_runs_of(client, run_folder)
            for flow_run in found:
                _delete(client, flow_run)
        home = get_current_settings().home
    if found and (home / "prefect.db").is_file():
        _erase_events(home / "prefect.db", [f"prefect.flow-run.{one.id}" for one in found])
        _compact(home / "prefect.db")
    return len(found)


def _flow_runs_of(client: SyncPrefectClient, run_folder: Path) -> list[FlowRun]:
    from prefect.client.schemas.filters import FlowFilter, FlowFilterName

    named, found = FlowFilter(name=FlowFilterName(any_=[_FLOW])), []
    offset = 0
    while page := client.read_flow_runs(flow_filter=named, limit=_PAGE, offset=offset):
        found += [one for one in page if one.parameters.get("run_folder") == str(run_folder.resolve())]
        offset += len(page)
    return found


def _delete(client: SyncPrefectClient, flow_run: FlowRun) -> None:
    from prefect.client.schemas.filters import (
        ArtifactFilter,
        ArtifactFilterFlowRunId,
        LogFilter,
        LogFilterFlowRunId,
    )

    of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run.id]))
    while artifacts := client.read_artifacts(artifact_filter=of_run, limit=_PAGE):
        for artifact in artifacts:
            client.delete_artifact(artifact.id)
    client.delete_flow_run(flow_run.id)
    logs, deadline = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[flow_run.id])), time.monotonic() + _LOG_SECONDS
    while client.read_logs(logs, limit=1) and time.monotonic() < deadline:  # the server deletes them a little later
        time.sleep(0.2)


def _erase_events(database: Path, flow_runs: list[str]) -> None:
    """Delete the events of flow runs, which hold copies of their artifacts, and for which Prefect has no call.

    The server writes events some seconds late, those of the deletion too.
    """
    quiet_from, deadline = time.monotonic() + _EVENT_SECONDS, time.monotonic() + 4 * _EVENT_SECONDS
    with contextlib.closing(sqlite3.connect(database, timeout=30)) as connection:
        while time.monotonic() < min(quiet_from, deadline):
            if _delete_events(connection, flow_runs):
                quiet_from = time.monotonic() + _EVENT_SECONDS
            time.sleep(0.5)


def _delete_events(connection: sqlite3.Connection, flow_runs: list[str]) -> int:
    known = ", ".join("?" * len(flow_runs))
    theirs = (
        f"SELECT id FROM events WHERE resource_id IN ({known})"
        f" OR EXISTS (SELECT 1 FROM json_each(related_resource_ids) WHERE value IN ({known}))"
    )
    with connection:
        connection.execute(f"DELETE FROM event_resources WHERE event_id IN ({theirs})", flow_runs * 2)
        return connection.execute(f"DELETE FROM events WHERE id IN ({theirs})", flow_runs * 2).rowcount


def _compact(database: Path) -> None:
    with contextlib.closing(sqlite3.connect(database, timeout=30)) as connection:
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
