"""Runs whose process was killed and could tell nobody: found and closed, so that the server doesn't show them for ever.

Two ways, since each sees what the other can't. The next process that gets hold of the run folder knows that the one
before is dead, since the kernel gave it the lock. An automation on the server closes what has sent no heartbeat for
long, also when no next run comes.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from purify.storage.files import read_json
from purify.storage.run_folder import RunFolder

if TYPE_CHECKING:
    from prefect.automations import AutomationCore

AUTOMATION = "purify: close runs without heartbeat"
SILENCE = timedelta(minutes=9)
"""Three heartbeats of Prefect's default of 180 s."""

_HEARTBEAT = "prefect.flow-run.heartbeat"
_ENDS = tuple(f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed"))


def take_over(run: RunFolder) -> None:
    """Say in ``run.json`` that the running flow works on `run`, and close the one that did before.

    To be called in a flow that holds the folder's lock: whoever wrote the entry is then no longer alive.
    """
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound
    from prefect.runtime import flow_run
    from prefect.states import Crashed

    own = flow_run.get_id()
    before = read_json(run.info).get("flow_run") if run.info.exists() else None
    run.update_info(flow_run=own)
    if before is None or before == own:
        return
    with get_client(sync_client=True) as client:
        try:
            lost = client.read_flow_run(UUID(before))
        except ObjectNotFound:  # of another server
            return
        if lost.state is not None and (lost.state.is_running() or lost.state.is_cancelling()):
            message = "its process ended without a word (killed, or out of power); a later run went on where it was"
            client.set_flow_run_state(lost.id, Crashed(message=message), force=True)


def close_silent_runs(silence: timedelta = SILENCE) -> UUID:
    """Have the server close every run of the flow that has sent a heartbeat, and then nothing for `silence`.

    Sets up one automation under the name `AUTOMATION`; one that is there is brought up to date. Returns its id.
    """
    from prefect.automations import AutomationCore, EventTrigger, Posture
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.objects import StateType
    from prefect.events.actions import ChangeFlowRunState
    from prefect.events.schemas.events import ResourceSpecification

    wanted = AutomationCore(
        name=AUTOMATION,
        description="A run of purify whose process was killed can't say so itself.",
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
                " same folder goes on where it was",
            )
        ],
    )
    with get_client(sync_client=True) as client:
        there = client.read_automations_by_name(AUTOMATION)
        if not there:
            return client.create_automation(wanted)
        kept, *others = there
        if _content(kept) != _content(wanted):  # an update makes the server forget the heartbeats that it has seen
            client.update_automation(kept.id, wanted)
        for other in others:
            client.delete_automation(other.id)
        return kept.id


def _content(automation: AutomationCore) -> dict[str, Any]:
    """What an automation does, without the ids that the server gives."""
    return automation.model_dump(
        include={"name", "description", "enabled", "trigger", "actions"}, exclude={"trigger": {"id"}}
    )
