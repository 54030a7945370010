"""The training loop: batches in, a checkpoint out; interruptible, and the same bits when resumed (CPU)."""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import torch

from purify.config import ModelConfig, TrainConfig
from purify.errors import InputError
from purify.images.loading import resolve_workers
from purify.models.checkpoint import Checkpoint
from purify.models.precision import default_device
from purify.models.process_group import ALONE, World
from purify.progress import Progress, silent
from purify.training.collapse import check_not_collapsed
from purify.training.data import TrainingSet
from purify.training.inputs import input_batches
from purify.training.resume import capture, restore
from purify.training.sampler import Sampler
from purify.training.schedule import make_schedule
from purify.training.state import load_resume_point, save_resume_point
from purify.training.step import Plan, update
from purify.training.train_state import Learner, new_learner


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
    """Train a backbone and a head with `subcenters` centers a class on `data`, in this process alone.

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
    checkpoint = train_rank(
        data,
        model,
        config,
        subcenters=subcenters,
        seed=seed,
        resume_path=resume_path,
        progress=progress,
        device=default_device(),
        world=ALONE,
    )
    assert checkpoint is not None
    return checkpoint


def train_rank(
    data: TrainingSet,
    model: ModelConfig,
    config: TrainConfig,
    *,
    subcenters: int,
    seed: int,
    resume_path: Path | None,
    progress: Progress,
    device: torch.device,
    world: World,
) -> Checkpoint | None:
    """`train` as one of the ranks of `world`, all of which call this; the first one gets the checkpoint."""
    sampler = _sampler(data, config, seed=seed, world=world)
    schedule = sampler.schedule
    learner = new_learner(
        model,
        config,
        classes=len(data.labels),
        subcenters=1 if schedule.grow_step else subcenters,
        seed=seed,
        device=device,
        world=world,
    )
    keeper = _Keeper(
        resume_path,
        config.checkpoint_seconds,
        learner,
        _fingerprint(data, model, config, subcenters=subcenters, seed=seed, learner=learner),
    )
    keeper.go_back()
    plan = Plan(schedule, subcenters, config.sample_rate, config.clip_norm, seed)
    first, began = learner.step, time.monotonic()
    batches = input_batches(
        data,
        sampler.own_batches(first, world),
        model,
        config,
        seed=seed,
        first=first * config.accumulate,
        device=device,
        workers=max(1, resolve_workers(config.workers) // config.processes),
    )
    with closing(batches):
        for rows in sampler.steps(first):
            labels = torch.from_numpy(data.label_index[rows])
            loss = update(learner, plan, labels, islice(batches, config.accumulate))
            rate = (learner.step - first) * rows.size / (time.monotonic() - began)
            progress(learner.step, schedule.total_steps, f"loss {loss:.4f}, {rate:.0f} images/s")
            keeper.save_if_due()
    check_not_collapsed(learner.separation, learner.epoch_losses[-1], epochs=schedule.epochs)
    return _checkpoint(learner, data, model, seed=seed)


def _sampler(data: TrainingSet, config: TrainConfig, *, seed: int, world: World) -> Sampler:
    samples = len(data.sample_ids)
    if samples < 2 or len(data.labels) < 2:
        raise InputError(
            f"training needs at least two images and two labels; this set has {samples} readable "
            f"images of {len(data.labels)} labels"
        )
    batch_size = min(config.batch_size, samples // config.accumulate)
    if batch_size < max(2, world.size):
        raise InputError(
            f"batches of {batch_size} images ({samples} images, train.batch_size={config.batch_size}, "
            f"train.accumulate={config.accumulate}) are too small for {world.size} processes; a batch needs an "
            "image for each process, and two at least"
        )
    return Sampler(samples, batch_size, config.accumulate, make_schedule(config, samples=samples), seed)


@dataclass
class _Keeper:
    """Writes resume points now and then, and reads the last one."""

    path: Path | None
    seconds: float
    learner: Learner
    fingerprint: str
    saved: float = field(default_factory=time.monotonic)

    def go_back(self) -> None:
        """Continue where an interrupted training was saved."""
        if self.path is None:
            return
        learner, world = self.learner, self.learner.world
        if point := load_resume_point(self.path, self.fingerprint, classes=learner.classes):
            restore(learner, point)
        steps = world.stack(torch.tensor([learner.step], device=learner.device)).flatten().tolist()
        if len(set(steps)) > 1:
            raise InputError(
                f"{self.path}: the ranks found resume points of steps {steps}; the folder has to be on a file system "
                "that all machines share"
            )

    def save_if_due(self) -> None:
        """The first rank's clock decides for all."""
        if self.path is None:
            return
        learner = self.learner
        due = learner.world.rank == 0 and time.monotonic() - self.saved >= self.seconds
        if learner.world.largest(torch.tensor([int(due)], device=learner.device)).item():
            save_resume_point(
                self.path, capture(learner, self.fingerprint), classes=learner.classes, world=learner.world
            )
            self.saved = time.monotonic()


def _checkpoint(learner: Learner, data: TrainingSet, model: ModelConfig, *, seed: int) -> Checkpoint | None:
    """On the first rank: the last weights or, if asked for, their mean."""
    if learner.average is not None:
        learner.average.apply(learner.backbone, learner.head)
    learner.optimizer.zero_grad(set_to_none=True)
    learner.optimizer.state.clear()  # the whole head needs its room
    rows, world = learner.head.weight.detach(), learner.world
    if world.rank > 0:
        world.send(rows)
        return None
    return Checkpoint.of(
        learner.backbone,
        learner.head.with_rows(torch.cat([part.cpu() for part in world.received(rows, learner.classes.total)])),
        backbone_name=model.backbone,
        input_size=model.input_size,
        labels=data.labels,
        extra={"seed": seed, "images": len(data.sample_ids), "epoch_losses": learner.epoch_losses},
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
