"""Rounds after the first: train on what the last one kept, embed and judge all rows again, until the stop rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from prefect.logging import get_run_logger

from purify.analysis.round_changes import STOP_MEANINGS, RoundSummary, first_round
from purify.config import PurifyConfig
from purify.orchestration.tasks import analyze_task, compare_task, embed_task, train_round_task
from purify.storage.files import read_table
from purify.storage.run_folder import RunFolder
from purify.tables.schema import VERDICTS


def purify_again(run: RunFolder, config: PurifyConfig, *, images: Sequence[str]) -> None:
    """Do the rounds that follow the first, whose verdicts are there; without `images` there are none.

    ``run.json`` tells of each round as soon as it is done, and so which round's verdicts are the run's.
    """
    verdicts = read_table(run.round(1).verdicts, VERDICTS)
    summaries = [first_round(verdicts, config.rounds, trainable=bool(images))]
    _record(run, summaries)
    while (stop := summaries[-1].stopped_because) is None:
        summaries.append(_next_round(run, summaries[-1].round + 1, config))
        _record(run, summaries)
    get_run_logger().info("round %d is the last: %s", len(summaries), STOP_MEANINGS[stop])


def _next_round(run: RunFolder, number: int, config: PurifyConfig) -> RoundSummary:
    train_round_task.submit(run, number, config).result()
    embed_task(run, number, config)
    analyze_task(run, number, config, embeddings=None)
    return compare_task(run, number, config)


def _record(run: RunFolder, summaries: Sequence[RoundSummary]) -> None:
    run.update_info(rounds=[asdict(summary) for summary in summaries])
