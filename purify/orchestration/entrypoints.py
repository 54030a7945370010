"""Renewal of deployments of release 0.1.0, whose entry point in the package ``flows`` is no longer installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.responses import DeploymentResponse

ENTRYPOINT = "purify.orchestration.flow.purify_flow"
_FORMER = {"flows.purify_flow.purify_flow", "flows.purify_flow:purify_flow"}
_PAGE = 100


def renew_entrypoints() -> list[str]:
    """Point deployments of 0.1.0 at the present entry point and parameter form, and return their names."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import DeploymentUpdate
    from prefect.utilities.callables import parameter_schema

    from purify.orchestration.flow import purify_flow

    form = parameter_schema(purify_flow.fn).model_dump_for_openapi()
    with get_client(sync_client=True) as client:
        former = [deployment for deployment in _deployments(client, purify_flow.name) if _is_former(deployment)]
        for deployment in former:
            update = DeploymentUpdate(entrypoint=ENTRYPOINT, parameter_openapi_schema=form)
            client.update_deployment(deployment.id, update)
    return [deployment.name for deployment in former]


def _deployments(client: SyncPrefectClient, flow: str) -> list[DeploymentResponse]:
    from prefect.client.schemas.filters import FlowFilter, FlowFilterName

    named = FlowFilter(name=FlowFilterName(any_=[flow]))
    found: list[DeploymentResponse] = []
    while page := client.read_deployments(flow_filter=named, limit=_PAGE, offset=len(found)):
        found += page
    return found


def _is_former(deployment: DeploymentResponse) -> bool:
    """Whether a deployment is ours, by its parameters: a user's own ``flows`` may hold a flow of the same name."""
    parameters = (deployment.parameter_openapi_schema or {}).get("properties", {})
    return deployment.entrypoint in _FORMER and {"source", "run_folder", "config"} <= parameters.keys()
