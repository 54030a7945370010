"""The entry point that ``prefect.yaml`` names; the flow itself is `purify.orchestration.flow`."""

from purify.orchestration.flow import purify_flow

__all__ = ["purify_flow"]
