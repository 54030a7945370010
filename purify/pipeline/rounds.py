"""Rounds after the first: train on the rows kept by the previous one, embed and judge all, until the stop rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from purify.analysis.round_changes import RoundSummary, first_round
from purify.analysis.rules.calibrated import CALIBRATED
from purify.config import PurifyConfig
from purify.pipeline.steps import Steps
from purify.progress import ProgressBoard
from purify.storage.files import read_table
from purify.storage.run_folder import RunFolder
from purify.tables.schema import VERDICTS


def purify_again(
    run: RunFolder, config: PurifyConfig, steps: Steps, board: ProgressBoard, *, images: Sequence[str], learned: bool
) -> None:
    """Run the rounds after the first, whose verdicts exist; none without `images`.

    `learned` says whether the network of round 1 was trained on the labels that it judged. Without a wanted number
    there is a second round only under the rule `calibrated`, which estimates the noise; the fixed angles of the
    reference code come with one round.

    ``run.json`` lists each round as soon as it is done; the verdicts of the last one are the run's.
    """
    verdicts = read_table(run.round(1).verdicts, VERDICTS)
    learned = learned and config.analyze.rule == CALIBRATED.name
    summaries = [first_round(verdicts, config.rounds, trainable=bool(images), learned=learned)]
    _record(run, summaries)
    while summaries[-1].stopped_because is None:
        number = summaries[-1].round + 1
        steps.train_round(run, number, config, board)
        steps.embed(run, number, config, board)
        steps.analyze(run, number, config)
        summaries.append(steps.compare(run, number, config))
        _record(run, summaries)


def _record(run: RunFolder, summaries: Sequence[RoundSummary]) -> None:
    run.update_info(rounds=[asdict(summary) for summary in summaries])
