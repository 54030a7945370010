"""The stages as Prefect tasks: names, retries, and workers for the blocks of embedding."""

from __future__ import annotations

from typing import Any

from prefect import Task, task
from prefect.cache_policies import NO_CACHE

from purify.config import PurifyConfig
from purify.orchestration.retries import STAGE_RETRIES
from purify.orchestration.runners import fan_out
from purify.pipeline import stages
from purify.pipeline.steps import Future, Steps
from purify.progress import ProgressBoard
from purify.storage.run_folder import RunFolder

_OPTIONS: dict[str, Any] = {"cache_policy": NO_CACHE, **STAGE_RETRIES}


@task(name="embed", **_OPTIONS)
def embed(run: RunFolder, number: int, config: PurifyConfig, board: ProgressBoard) -> None:
    """`purify.pipeline.stages.embed`, its blocks on the configured workers."""
    stages.embed(run, number, config, board, run_blocks=fan_out(config.scale))


@task(name="align", **_OPTIONS)
def align(run: RunFolder, config: PurifyConfig, board: ProgressBoard) -> bool:
    """`purify.pipeline.stages.align`, its blocks on the configured workers, or in processes of its own."""
    own = config.scale.runner == "threads"  # a thread would hold up the others while it searches
    return stages.align(run, config, board, run_blocks=None if own else fan_out(config.scale))


@task(name="choose-faces", **_OPTIONS)
def choose_faces(run: RunFolder, config: PurifyConfig, board: ProgressBoard) -> bool:
    """`purify.pipeline.stages.choose_faces`, the embedding on the configured workers."""
    return stages.choose_faces(run, config, board, run_blocks=fan_out(config.scale))


TASKS = Steps(
    ingest=task(name="ingest", **_OPTIONS)(stages.ingest),
    choose_extractor=task(name="choose-extractor", **_OPTIONS)(stages.choose_extractor),
    align=align,
    decide=task(name="decide", **_OPTIONS)(stages.decide),
    drift=task(name="drift", **_OPTIONS)(stages.drift),
    train_round=task(name="train-round", task_run_name="train-round-{number}", **_OPTIONS)(stages.train_round),
    train_model=task(name="train", task_run_name="train-{name}", **_OPTIONS)(stages.train_model),
    choose_purified=task(name="choose-purified", **_OPTIONS)(stages.choose_purified),
    embed=embed,
    analyze=task(name="analyze", **_OPTIONS)(stages.analyze),
    choose_faces=choose_faces,
    compare=task(name="compare", task_run_name="compare-round-{number}", **_OPTIONS)(stages.compare),
    apply=task(name="apply", **_OPTIONS)(stages.apply),
    evaluate=task(name="evaluate", **_OPTIONS)(stages.evaluate),
    invert=task(name="invert", **_OPTIONS)(stages.invert),
    report=task(name="report", **_OPTIONS)(stages.report),
)
"""Every stage of `purify.pipeline.stages` as a task."""


def submit(step: Task[..., Any], *arguments: Any) -> Future:
    """Start a task, concurrently with others, in the runner of `purify.orchestration.flow.places_for_trainings`."""
    return step.submit(*arguments)
