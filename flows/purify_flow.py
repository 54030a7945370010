"""Entry point for ``prefect.yaml``; the flow itself is in `purify.orchestration.flow`."""

from purify.orchestration.flow import purify_flow

__all__ = ["purify_flow"]
