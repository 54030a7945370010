"""Closing of flow runs of killed processes, which the server would otherwise show as running forever.

Two ways complement each other. The next holder of a run folder's lock knows that the previous one is dead, since the
kernel released the lock. An automation on the server closes runs without a heartbeat, even without a next run.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from purify.storage.run_folder import RunFolder

if TYPE_CHECKING:
    from prefect.automations import AutomationCore

AUTOMATION = "purify: close runs without heartbeat"
SILENCE = timedelta(minutes=9)
"""Three heartbeats of Prefect's default of 180 s."""

_HEARTBEAT = "prefect.flow-run.heartbeat"
_ENDS = tuple(f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed"))


def take_over(run: RunFolder) -> None:
    """Enter the running flow in ``run.json``, and close the run entered before.

    The caller holds the folder's lock, so the process of the earlier entry is dead.
    """
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound
    from prefect.runtime import flow_run
    from prefect.states import Crashed

    own = flow_run.get_id()
    before = run.read_info().get("flow_run")
    run.update_info(flow_run=own)
    if before is None or before == own:
        return
    with get_client(sync_client=True) as client:
        try:
            lost = client.read_flow_run(UUID(before))
        except ObjectNotFound:  # it was on another server
            return
        if lost.state is not None and (lost.state.is_running() or lost.state.is_cancelling()):
            message = "its process was killed or lost power; a later run resumed its work"
            client.set_flow_run_state(lost.id, Crashed(message=message), force=True)


def close_silent_runs(silence: timedelta = SILENCE) -> UUID:
    """Set up the server to close runs of the flow whose heartbeat has stopped for `silence`.

    Creates or updates one automation named `AUTOMATION`, and returns its id.
    """
    from prefect.automations import AutomationCore, EventTrigger, Posture
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.objects import StateType
    from prefect.events.actions import ChangeFlowRunState
    from prefect.events.schemas.events import ResourceSpecification

    wanted = AutomationCore(
        name=AUTOMATION,
        description="Closes runs of purify whose process was killed.",
        trigger=EventTrigger(
            after={_HEARTBEAT},
            expect={_HEARTBEAT, *_ENDS},
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            match_related=ResourceSpecification({"prefect.resource.role": "flow", "prefect.resource.name": "purify"}),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=silence,
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                message=f"no heartbeat for {silence.total_seconds():.0f} s: its process was killed; the next run on the"
                " same folder resumes its work",
            )
        ],
    )
    with get_client(sync_client=True) as client:
        there = client.read_automations_by_name(AUTOMATION)
        if not there:
            return client.create_automation(wanted)
        kept, *others = there
        if _content(kept) != _content(wanted):  # an update makes the server forget earlier heartbeats
            client.update_automation(kept.id, wanted)
        for other in others:
            client.delete_automation(other.id)
        return kept.id


def _content(automation: AutomationCore) -> dict[str, Any]:
    """An automation without the ids assigned by the server."""
    return automation.model_dump(
        include={"name", "description", "enabled", "trigger", "actions"}, exclude={"trigger": {"id"}}
    )
