"""The pipeline as a Prefect flow: `purify.pipeline.run` with tasks as stages.

It runs against a configured Prefect server, or a temporary one of its own (`purify.orchestration.prefect_api`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from prefect import State, flow
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger
from prefect.runtime import deployment
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field

from purify.config import Place, PurifyConfig
from purify.errors import InputError, PurifyError
from purify.orchestration.failures import failed
from purify.orchestration.flow_board import flow_board
from purify.orchestration.lost_runs import take_over
from purify.orchestration.publication import publish_summary
from purify.orchestration.runners import require_runner
from purify.orchestration.tasks import TASKS, submit
from purify.pipeline.request import RunRequest, changed_config
from purify.pipeline.run import bring_up_to_date
from purify.storage.locations import is_url
from purify.storage.run_folder import RunFolder

DEFAULT_CONFIG = PurifyConfig()


def _help(title: str, description: str) -> Any:
    """Title and description of a parameter in the form of the Prefect UI, which overwrites those of its type."""
    return Field(json_schema_extra={"title": title, "description": description})


@flow(name="purify", validate_parameters=True)
def purify_flow(
    source: Annotated[Place, _help("Source", "Folder, .tar, or Parquet/CSV table with path and label; in full.")],
    run_folder: Annotated[
        Place, _help("Run folder", "Folder of the run, in full. An existing run is brought up to date.")
    ],
    config: Annotated[PurifyConfig, _help("Configuration", "Everything that decides the result.")] = DEFAULT_CONFIG,
    embeddings: Annotated[
        Place | None, _help("Embeddings", "Embeddings of another extractor, instead of a first training.")
    ] = None,
    changes: Annotated[
        dict[str, Any] | None,
        _help("Changes for this run", 'Settings that replace those of the configuration, such as {"seed": 1}.'),
    ] = None,
) -> str | State[Any]:
    """Purify `source` into `run_folder`.

    Parameters
    ----------
    source
        Folder, ``.tar``, or Parquet/CSV table; a path, or a URL of a store.
    run_folder
        Folder of the run. An existing one is brought up to date: new, changed and gone images of the source are
        taken in, and finished stages with unchanged inputs are not repeated. For a URL, the work is done in a local
        folder, and each finished stage published.
    config
        All settings.
    embeddings
        Embeddings of another extractor; they replace the training and embedding of the first round.
    changes
        Settings merged into `config` before anything else, such as ``{"train": {"epochs": 3}}``. A value given for
        `config` would replace the whole configuration of a deployment.

    Returns
    -------
    str
        Path or URL of the report; or the state of a run that failed, whose message is the error's own.
    """
    log = get_run_logger()
    scheduled = deployment.get_id() is not None
    run = RunFolder.at(run_folder)
    try:
        config = changed_config(config, changes or {})
        request = RunRequest(source, run_folder, config, embeddings)
        if scheduled:
            _require_full_paths(run_folder, source, embeddings)
        require_runner(config.scale)
        with run.lock(when_busy=(lambda busy: log.warning("%s; waiting for its end", busy)) if scheduled else None):
            run.pull()
            take_over(run)
            with places_for_trainings(config.train.parallel):
                bring_up_to_date(run, request, submit, steps=TASKS, board=flow_board())
            publish_summary(run, config.show)
            run.publish()
    except (PurifyError, OSError) as error:
        return failed(error)
    return run.shown(run.report)


def _require_full_paths(*paths: str | None) -> None:
    """Refuse relative paths: a worker's child runs in a folder that is deleted afterwards."""
    for path in paths:
        if path is not None and not is_url(path) and not Path(path).is_absolute():
            raise InputError(f"{path}: a scheduled run needs full paths, such as /data/faces")


@contextmanager
def places_for_trainings(count: int) -> Iterator[None]:
    """Let the running flow run `count` trainings concurrently.

    Not by ``purify_flow.with_options``: a deployment's flow is loaded before its parameters are known.
    """
    context = FlowRunContext.get()
    if context is None:
        raise RuntimeError("to be called in a flow run")
    runner: Any = ThreadPoolTaskRunner(max_workers=count)
    with runner, context.model_copy(update={"task_runner": runner}):
        yield
