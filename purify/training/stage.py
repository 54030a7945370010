"""Training as a stage: a table of images in, a checkpoint folder out."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from purify.config import ModelConfig, TrainConfig
from purify.errors import InputError
from purify.models.checkpoint import save_checkpoint
from purify.progress import Progress, silent
from purify.tables.manifest import load_manifest, ok_rows
from purify.training.data import TrainingSet
from purify.training.distributed import connected, rank_device
from purify.training.loop import train_rank


def train_table(
    table: Path,
    folder: Path,
    model: ModelConfig,
    config: TrainConfig,
    *,
    subcenters: int,
    seed: int,
    progress: Progress = silent,
) -> None:
    """Train on the ``ok`` rows of the Parquet file `table`; writes ``folder/checkpoint/model.safetensors``.

    A training that was cut off before goes on at its last resume point, ``folder/resume.safetensors``. A process that
    was started as one of several ranks trains its part, and the first one writes.
    """
    data = training_set(load_manifest(table), name=str(table))
    resume_path = folder / "resume.safetensors"
    device = rank_device()
    with connected(device) as world:
        if world.rank == 0:
            folder.mkdir(parents=True, exist_ok=True)
        checkpoint = train_rank(
            data,
            model,
            config,
            subcenters=subcenters,
            seed=seed,
            resume_path=resume_path,
            progress=progress,
            device=device,
            world=world,
        )
        if checkpoint is not None:
            save_checkpoint(folder / "checkpoint", checkpoint)
            resume_path.unlink(missing_ok=True)


def training_set(table: pa.Table, *, name: str) -> TrainingSet:
    """The ``ok`` rows of a manifest or a cleaned table; `name` is used in messages.

    Raises
    ------
    InputError
        If rows have no ``uri``: a table of paths has to be ingested first.
    """
    rows = ok_rows(table)
    if rows["uri"].null_count:
        raise InputError(f"{name}: rows without a uri; run `purify ingest` with the --images roots first")
    return TrainingSet.from_columns(rows["sample_id"].to_pylist(), rows["uri"].to_pylist(), rows["label"].to_pylist())
