"""Implementations of the stages: plain functions, or tasks of an orchestrator with the same signatures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from purify.analysis.round_changes import RoundSummary
from purify.config import PurifyConfig
from purify.pipeline import stages
from purify.pipeline.retraining import TrainingDecision


@dataclass(frozen=True)
class Steps:
    """One callable per stage, with the signature of the function in `purify.pipeline.stages`."""

    ingest: Callable[..., bool] = stages.ingest
    choose_extractor: Callable[..., PurifyConfig] = stages.choose_extractor
    align: Callable[..., bool] = stages.align
    decide: Callable[..., TrainingDecision] = stages.decide
    drift: Callable[..., bool] = stages.drift
    train_round: Callable[..., None] = stages.train_round
    train_model: Callable[..., None] = stages.train_model
    choose_purified: Callable[..., None] = stages.choose_purified
    embed: Callable[..., None] = stages.embed
    analyze: Callable[..., None] = stages.analyze
    choose_faces: Callable[..., bool] = stages.choose_faces
    compare: Callable[..., RoundSummary] = stages.compare
    apply: Callable[..., None] = stages.apply
    evaluate: Callable[..., None] = stages.evaluate
    invert: Callable[..., None] = stages.invert
    report: Callable[..., Path] = stages.report


class Future(Protocol):
    """A running stage."""

    def result(self) -> Any:
        """Wait for the end, and return the result or raise the error."""


#: Starts a step with its arguments, concurrently with others, and returns at once.
Submit = Callable[..., Future]


@contextmanager
def threads(count: int) -> Iterator[Submit]:
    """Run steps in `count` threads of this process; trainings have their own processes."""
    with ThreadPoolExecutor(count, "purify") as pool:
        yield pool.submit


def wait_for_all(trainings: Iterable[Future]) -> None:
    """Wait for all, then raise the first error."""
    errors = []
    for training in trainings:
        try:
            training.result()
        except Exception as error:  # noqa: BLE001 - whatever a training raises, the others are waited for
            errors.append(error)
    if errors:
        raise errors[0]
