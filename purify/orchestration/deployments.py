"""The flow as a deployment: on a schedule, with its parameters as a form, and without concurrent runs on one data set.

Functions that contact the server need a configured one: call `purify.orchestration.prefect_api.require_server` first.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from purify.errors import InputError, PurifyError
from purify.orchestration.entrypoints import renew_entrypoints
from purify.orchestration.lost_runs import close_silent_runs
from purify.pipeline.request import RunRequest
from purify.version import __version__

if TYPE_CHECKING:
    from prefect.deployments.runner import RunnerDeployment
    from prefect.schedules import Schedule

POOL = "purify"
"""Default work pool of the deployments."""

TAG = "purify"
CHILD_ENVIRONMENT = {"DO_NOT_TRACK": "1", "OMP_WAIT_POLICY": "PASSIVE"}
"""Additions to the environment that a worker's child inherits; that environment itself is not stored."""


@dataclass(frozen=True)
class Timetable:
    """Schedule of a deployment: by `cron`, every `interval`, or (neither) only on demand."""

    cron: str | None = None
    interval: timedelta | None = None
    timezone: str = "UTC"

    def schedule(self) -> Schedule | None:
        """The schedule in Prefect's form.

        Raises
        ------
        InputError
            If the cron expression or the time zone is invalid.
        """
        from prefect.schedules import Cron, Interval

        try:
            ZoneInfo(self.timezone)
            if self.cron is not None:
                return Cron(self.cron, timezone=self.timezone)
            if self.interval is not None:
                return Interval(self.interval, timezone=self.timezone)
        except (ValueError, ZoneInfoNotFoundError) as error:
            raise InputError(
                f"--cron {self.cron!r}, --timezone {self.timezone!r}: expected minute, hour, day, month and weekday,"
                ' such as "0 2 * * *" (each night at two), and a name such as Europe/Berlin'
            ) from error
        return None


def deployment_of(request: RunRequest, name: str, timetable: Timetable, *, pool: str | None = None) -> RunnerDeployment:
    """The deployment ``purify/<name>`` of a request; with a `pool` for its workers, else for this process.

    Its parameters are those of the request, so all runs share one folder: a killed run is resumed by the next. A second
    run waits until the first has ended.
    """
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
    from prefect.types.entrypoint import EntrypointType

    from purify.orchestration.flow import purify_flow

    schedule = timetable.schedule()
    deployment = purify_flow.to_deployment(
        name,
        schedules=[] if schedule is None else [schedule],
        parameters=parameters(request),
        concurrency_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE),
        description=f"Purifies {request.source} into {request.run_folder}.",
        tags=[TAG, name],
        version=__version__,
        work_pool_name=pool,
        job_variables={"env": CHILD_ENVIRONMENT} if pool else None,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    return cast("RunnerDeployment", deployment)  # the declared type includes that for async callers


def parameters(request: RunRequest) -> dict[str, Any]:
    """The flow's parameters as JSON, without defaults of the configuration."""
    given = asdict(request)
    given["config"] = request.config.model_dump(mode="json", exclude_defaults=True)
    return {name: value for name, value in given.items() if value is not None}


def deploy(request: RunRequest, name: str, timetable: Timetable, *, pool: str) -> dict[str, Any]:
    """Create the deployment on the configured server, with its work pool and the automation that closes lost runs."""
    from prefect.utilities.urls import url_for

    deployment = deployment_of(request, name, timetable, pool=pool)
    prepare_server(pool=pool)
    identifier = cast(UUID, deployment.apply())
    return {
        "deployment": f"{deployment.flow_name}/{name}",
        "run_folder": request.run_folder,
        "work_pool": pool,
        "page": url_for("deployment", obj_id=identifier),
        "next": f"prefect worker start --pool {pool}",
    }


def deploy_file(path: Path, *, pool: str) -> dict[str, Any]:
    """Create all deployments of a ``prefect.yaml`` on the configured server, by Prefect's own command.

    Raises
    ------
    InputError
        If Prefect refuses the file; with its message.
    """
    prepare_server(pool=pool)
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(path)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise InputError(f"{path}: not deployed: {(answer.stderr.strip() or answer.stdout.strip())[-2000:]}")
    return {"file": str(path), "work_pool": pool, "next": f"prefect worker start --pool {pool}"}


def serve(request: RunRequest, name: str, timetable: Timetable) -> None:
    """Create the deployment on the configured server and run due runs in children of this process, until it ends.

    The schedule is paused while this process is not running.
    """
    from prefect import serve as serve_deployments

    deployment = deployment_of(request, name, timetable)
    prepare_server()
    serve_deployments(deployment, pause_on_shutdown=True)


def prepare_server(*, pool: str | None = None) -> None:
    """Set up what the deployments need on the server: a process work pool, and the automation against lost runs.

    Deployments with the entry point of a former release get the present one. Repeated calls change nothing; an
    existing pool is left unchanged.

    Raises
    ------
    PurifyError
        If the server refuses.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists, PrefectHTTPStatusError
    from prefect.workers.process import ProcessWorker

    try:
        close_silent_runs()
        renew_entrypoints()
        if pool is not None:
            template = ProcessWorker.get_default_base_job_template()
            with get_client(sync_client=True) as client:
                client.create_work_pool(WorkPoolCreate(name=pool, type="process", base_job_template=template))
    except ObjectAlreadyExists:
        return
    except PrefectHTTPStatusError as error:
        raise PurifyError(f"the Prefect server refused: {error}") from error
