"""The trainings of a run by the name of their model: what each learns from, and whether it is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from purify.config import PurifyConfig
from purify.models.checkpoint import FILE_NAME
from purify.pipeline.fingerprint import is_done
from purify.storage.run_folder import RunFolder
from purify.training.job import TrainJob
from purify.training.launch import compute_threads

_ROUND = "round-"


@dataclass(frozen=True)
class Training:
    """A training of a run.

    Attributes
    ----------
    stage
        Name of its stage.
    table, checkpoint
        The file that it learns from, and the one that it writes.
    job
        What its processes are told.
    inputs
        What decides the weights.
    """

    stage: str
    table: Path
    checkpoint: Path
    job: TrainJob
    inputs: Mapping[str, Any]


def round_model(number: int) -> str:
    """Name of the sub-center model of a round, such as ``round-1``."""
    return f"{_ROUND}{number}"


def training_of(run: RunFolder, name: str, config: PurifyConfig) -> Training:
    """The training of a model: ``round-N`` with K sub-centers a class, any other with one."""
    table, folder = training_table(run, name), _folder(run, name)
    subcenters = config.train.subcenters if name.startswith(_ROUND) else 1
    job = train_job(table, folder, config, subcenters=subcenters)
    inputs = {
        "table": table,
        "model": job.model,
        "train": config.train.recipe(),
        "subcenters": subcenters,
        "seed": config.seed,
    }
    return Training(f"train-{name}", table, folder / "checkpoint" / FILE_NAME, job, inputs)


def train_job(table: Path, folder: Path, config: PurifyConfig, *, subcenters: int) -> TrainJob:
    """What the processes of a training are told."""
    return TrainJob(
        table=str(table),
        folder=str(folder),
        model=config.model.model_dump(),
        train=config.train.model_dump(),
        subcenters=subcenters,
        seed=config.seed,
        threads=compute_threads(config.train.parallel),
    )


def is_trained(run: RunFolder, name: str, config: PurifyConfig) -> bool:
    """Whether the model of the table that lies beside it is trained, by this recipe."""
    training = training_of(run, name, config)
    return training.table.exists() and is_done(run, training.stage, training.inputs)


def training_table(run: RunFolder, name: str) -> Path:
    """What the model `name` is trained on."""
    return run.round(_number(name)).training_table if name.startswith(_ROUND) else run.training_table(name)


def _folder(run: RunFolder, name: str) -> Path:
    return run.round(_number(name)).root if name.startswith(_ROUND) else run.model(name)


def _number(name: str) -> int:
    return int(name.removeprefix(_ROUND))
