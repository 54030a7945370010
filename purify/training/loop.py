"""The training loop: batches in, a checkpoint out; interruptible, and the same bits when resumed (CPU)."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import numpy.typing as npt

from purify.config import ModelConfig, TrainConfig
from purify.errors import InputError
from purify.models.checkpoint import Checkpoint
from purify.progress import Progress, silent
from purify.training.collapse import check_not_collapsed
from purify.training.data import TrainingSet
from purify.training.inputs import input_batches
from purify.training.learner import Learner, new_learner, update
from purify.training.resume import capture, restore
from purify.training.schedule import Schedule, make_schedule
from purify.training.state import load_resume_point, save_resume_point


def train(
    data: TrainingSet,
    model: ModelConfig,
    config: TrainConfig,
    *,
    subcenters: int,
    seed: int,
    resume_path: Path | None = None,
    progress: Progress = silent,
) -> Checkpoint:
    """Train a backbone and a head with `subcenters` centers a class on `data`.

    Parameters
    ----------
    data
        At least two labels and two images.
    model, config
        Backbone and recipe.
    subcenters
        K. The head starts with one center a class and is grown to K at ``warmup_share`` of the steps.
    seed
        Of every draw: initialization, order, views, growth.
    resume_path
        File of the resume point: read if it is there and belongs to this training, written now and then. The
        caller removes it when the checkpoint is safe. None: can't be resumed.
    progress
        Told the step.

    Raises
    ------
    InputError
        If there is nothing to tell apart, or an image can't be read any more.
    TrainingCollapsedError
        If the network learned nothing.
    """
    _check(data)
    schedule = make_schedule(config, samples=len(data.sample_ids))
    learner = new_learner(data, model, config, seed=seed)
    fingerprint = _fingerprint(data, model, config, subcenters=subcenters, seed=seed, learner=learner)
    if resume_path is not None and (point := load_resume_point(resume_path, fingerprint)):
        restore(learner, point)
    batch_size = min(config.batch_size, len(data.sample_ids))
    order = _order(len(data.sample_ids), batch_size, schedule, seed=seed, start=learner.step)
    saved, began, first = time.monotonic(), time.monotonic(), learner.step
    with closing(input_batches(data, order, model, config, seed=seed, first=first, device=learner.device)) as batches:
        for images, labels in batches:
            loss = update(
                learner,
                images,
                labels,
                schedule,
                subcenters=subcenters,
                sample_rate=config.sample_rate,
                seed=seed,
            )
            rate = (learner.step - first) * batch_size / (time.monotonic() - began)
            progress(learner.step, schedule.total_steps, f"loss {loss:.3f}, {rate:.0f} images/s")
            if resume_path is not None and time.monotonic() - saved >= config.checkpoint_seconds:
                save_resume_point(resume_path, capture(learner, fingerprint))
                saved = time.monotonic()
    last = schedule.steps_per_epoch
    check_not_collapsed(learner.separation_sum / last, learner.loss_sum / last, epochs=schedule.epochs)
    return _checkpoint(learner, data, model, seed=seed)


def _check(data: TrainingSet) -> None:
    if len(data.sample_ids) < 2 or len(data.labels) < 2:
        raise InputError(
            f"training needs at least two images and two labels; this set has {len(data.sample_ids)} readable "
            f"images of {len(data.labels)} labels"
        )


def _order(
    samples: int, batch_size: int, schedule: Schedule, *, seed: int, start: int
) -> Iterator[npt.NDArray[np.int64]]:
    """Batches from step `start` on; an epoch's order depends on the seed and the epoch alone."""
    first_epoch, skip = divmod(start, schedule.steps_per_epoch)
    for epoch in range(first_epoch, schedule.epochs):
        rows = np.random.default_rng([seed, epoch]).permutation(samples)
        for step in range(skip, schedule.steps_per_epoch):
            yield rows[step * batch_size : (step + 1) * batch_size]
        skip = 0


def _checkpoint(learner: Learner, data: TrainingSet, model: ModelConfig, *, seed: int) -> Checkpoint:
    return Checkpoint.of(
        learner.backbone,
        learner.head,
        backbone_name=model.backbone,
        input_size=model.input_size,
        labels=data.labels,
        extra={"seed": seed, "images": len(data.sample_ids)},
    )


def _fingerprint(
    data: TrainingSet,
    model: ModelConfig,
    config: TrainConfig,
    *,
    subcenters: int,
    seed: int,
    learner: Learner,
) -> str:
    """Hash of all that decides the weights; a resume point of anything else is not continued."""
    recipe = {
        "model": model.model_dump(),
        "train": config.recipe(),
        "subcenters": subcenters,
        "seed": seed,
        "dtype": str(learner.dtype),
        "device": learner.device.type,
    }
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode())
    digest.update("\0".join(data.labels).encode())
    digest.update("\0".join(data.sample_ids).encode())
    digest.update(data.label_index.tobytes())
    return digest.hexdigest()
