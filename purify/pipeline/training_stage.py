"""The trainings of a run by model name: training tables, inputs, jobs, completion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from purify.config import PurifyConfig
from purify.models.checkpoint import FILE_NAME
from purify.pipeline.fingerprint import is_done, made_with
from purify.storage.files import local_file
from purify.storage.locations import to_location
from purify.storage.run_folder import RunFolder
from purify.training.job import TrainJob

_ROUND = "round-"


@dataclass(frozen=True)
class Training:
    """A training of a run.

    Attributes
    ----------
    stage
        Name of its stage.
    table, checkpoint
        Its input file and its output file.
    job
        Description for its processes.
    inputs
        All inputs that affect the weights.
    """

    stage: str
    table: Path
    checkpoint: Path
    job: TrainJob
    inputs: Mapping[str, Any]

    @property
    def resumable_job(self) -> TrainJob:
        """The job with the key of its resume points."""
        return replace(self.job, fingerprint=made_with("train", self.inputs))


def round_model(number: int) -> str:
    """Name of the sub-center model of a round, such as ``round-1``."""
    return f"{_ROUND}{number}"


def training_of(run: RunFolder, name: str, config: PurifyConfig) -> Training:
    """The training of a model: ``round-N`` with K sub-centers per class, any other with one."""
    table, folder = training_table(run, name), _folder(run, name)
    subcenters = config.train.subcenters if name.startswith(_ROUND) else 1
    inputs = _inputs(table, config, subcenters)
    job = TrainJob.of(config, table=table, folder=folder, subcenters=subcenters)
    return Training(f"train-{name}", table, folder / "checkpoint" / FILE_NAME, job, inputs)


def train_job(table: Path, folder: Path, config: PurifyConfig, *, subcenters: int) -> TrainJob:
    """The job of a training outside a run; it resumes on the same table and recipe."""
    key = made_with("train", _inputs(table, config, subcenters))
    return TrainJob.of(config, table=table, folder=folder, subcenters=subcenters, fingerprint=key)


def _inputs(table: Path, config: PurifyConfig, subcenters: int) -> dict[str, Any]:
    """All inputs that affect the weights."""
    start = config.model.weights
    return {
        "table": table,
        "model": config.model.model_dump(),
        "train": config.train.recipe(),
        "subcenters": subcenters,
        "seed": config.seed,
    } | ({"weights": local_file(to_location(start))} if start else {})


def is_trained(run: RunFolder, name: str, config: PurifyConfig) -> bool:
    """Whether a model is trained on its present table by this recipe."""
    training = training_of(run, name, config)
    return training.table.exists() and is_done(run, training.stage, training.inputs)


def training_table(run: RunFolder, name: str) -> Path:
    """Training table of the model `name`."""
    return run.round(_number(name)).training_table if name.startswith(_ROUND) else run.training_table(name)


def _folder(run: RunFolder, name: str) -> Path:
    return run.round(_number(name)).root if name.startswith(_ROUND) else run.model(name)


def _number(name: str) -> int:
    return int(name.removeprefix(_ROUND))
