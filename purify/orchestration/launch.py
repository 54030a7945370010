"""Start of the flow from the command line."""

from __future__ import annotations

from typing import Any

from purify.orchestration.flow_board import show_on
from purify.orchestration.prefect_api import prefect_api
from purify.pipeline.request import RunRequest
from purify.progress import progress_board
from purify.storage.run_folder import RunFolder


def run_request(request: RunRequest, *, quiet: bool) -> dict[str, Any]:
    """Run the flow and return its summary."""
    run = RunFolder.at(request.run_folder)
    with prefect_api(meanwhile=_load_flow), progress_board(quiet=quiet) as board, show_on(board):
        from prefect import tags

        from purify.orchestration.flow import purify_flow

        with tags("purify", run.root.name):
            purify_flow(request.source, request.run_folder, request.config, request.embeddings)
    from purify.pipeline.summary import run_summary  # imports torch: not before the server starts

    return run_summary(run)


def _load_flow() -> None:
    """Import the flow and torch, which takes about as long as a temporary server's start on another core."""
    import purify.orchestration.flow  # noqa: F401
