"""The training loop: interruptible, and resumed bit for bit (on a CPU)."""

from __future__ import annotations

import time
from contextlib import closing
from itertools import islice

import torch
from torch import Tensor

from purify.config import ModelConfig, TrainConfig
from purify.errors import InputError
from purify.models.checkpoint import Checkpoint
from purify.models.process_group import SINGLE_PROCESS, Ranks
from purify.progress import Progress, silent
from purify.training.batches import view_batches
from purify.training.collapse import check_not_collapsed
from purify.training.distributed import rank_device
from purify.training.resume_file import ResumeFile
from purify.training.resume_point import ResumeKeeper
from purify.training.sampler import Sampler
from purify.training.schedule import Schedule, make_schedule
from purify.training.step import train_step
from purify.training.train_state import TrainState, initial_state
from purify.training.training_set import TrainingSet

#: Time between two readings of the loss: as often as a progress is shown.
_READ_SECONDS = 0.5


def train(
    data: TrainingSet,
    model: ModelConfig,
    config: TrainConfig,
    *,
    subcenters: int,
    seed: int,
    resume: ResumeFile | None = None,
    progress: Progress = silent,
    ranks: Ranks = SINGLE_PROCESS,
) -> Checkpoint | None:
    """Train a backbone and a head with `subcenters` centers per class, in this process alone or as one of `ranks`.

    Parameters
    ----------
    data
        At least two labels and two images.
    model, config
        Backbone and recipe.
    subcenters
        K. The head starts with one center per class and grows to K at ``warmup_share`` of the steps.
    seed
        Seed of every draw: initialization, order, views, growth.
    resume
        Resume point to continue from, if it is of this training, and to write every ``checkpoint_seconds``. The
        caller removes the file once the checkpoint is saved. None: no resuming.
    progress
        Called after every step, with the loss and the speed of at most half a second ago.
    ranks
        Each of them calls this; the first returns the checkpoint, the others None.

    Raises
    ------
    InputError
        If there are too few images or labels, or an image has become unreadable.
    TrainingCollapsedError
        If the network learned nothing.
    """
    sampler, device = _sampler(data, config, subcenters=subcenters, seed=seed, ranks=ranks), rank_device()
    schedule, classes = sampler.schedule, len(data.labels)
    first_subcenters = schedule.subcenters_at(0)
    state = initial_state(
        model, config, classes=classes, subcenters=first_subcenters, seed=seed, device=device, ranks=ranks
    )
    keeper = ResumeKeeper(resume, state, config.checkpoint_seconds) if resume else None
    if keeper:
        keeper.restore()
    first, shown = state.step, _Figures(state.step, schedule)
    order, number = sampler.own_batches(first, ranks), first * config.accumulate
    with closing(view_batches(data, order, model, config, seed=seed, first=number, device=device)) as batches:
        for rows in sampler.steps(first):
            labels = torch.from_numpy(data.label_index[rows])
            loss = train_step(state, schedule, labels, islice(batches, config.accumulate))
            progress(state.step, schedule.total_steps, shown.after(state.step, loss, images=rows.size))
            if keeper:
                keeper.save_if_due()
    check_not_collapsed(float(state.separation), state.epoch_losses[-1], epochs=schedule.epochs)
    return _checkpoint(state, data, model)


def _checkpoint(state: TrainState, data: TrainingSet, model: ModelConfig) -> Checkpoint | None:
    """Checkpoint of the last weights or their moving average, on the first rank; ends the use of `state`."""
    if state.ema is not None:
        state.ema.copy_to(state.backbone, state.head)
    state.optimizer.zero_grad(set_to_none=True)
    state.optimizer.state.clear()  # frees memory for the whole head
    rows, ranks = state.head.weight.detach(), state.ranks
    if ranks.rank > 0:
        ranks.send(rows)
        return None
    return Checkpoint.of(
        state.backbone,
        state.head.with_rows(torch.cat([part.cpu() for part in ranks.receive(rows, state.classes.total)])),
        backbone_name=model.backbone,
        input_size=model.input_size,
        labels=data.labels,
        extra={"seed": state.seed, "images": len(data.sample_ids), "epoch_losses": state.epoch_losses},
    )


class _Figures:
    """Progress text of each step: loss and speed, read at intervals, since a reading waits for the device."""

    def __init__(self, first: int, schedule: Schedule) -> None:
        self._first, self._schedule = first, schedule
        self._began = self._next = time.monotonic()
        self._text = ""

    def after(self, step: int, loss: Tensor, *, images: int) -> str:
        """Text after `step` steps of `images` each; while the margin grows, with the reason why the loss rises."""
        if time.monotonic() >= self._next or step == self._schedule.total_steps:
            value, now = float(loss), time.monotonic()
            rate = (step - self._first) * images / (now - self._began)
            self._text, self._next = f"loss {value:.4f}, {rate:.0f} images/s", now + _READ_SECONDS
        share = self._schedule.margin_share_at(step - 1)
        growing = f", margin at {share:.0%}: the loss rises with it, as it should" if 0 < share < 1 else ""
        return self._text + growing


def _sampler(data: TrainingSet, config: TrainConfig, *, subcenters: int, seed: int, ranks: Ranks) -> Sampler:
    samples = len(data.sample_ids)
    if samples < 2 or len(data.labels) < 2:
        raise InputError(
            f"training needs at least two images and two labels; this set has {samples} readable "
            f"images of {len(data.labels)} labels"
        )
    batch_size = min(config.batch_size, samples // config.accumulate)
    if batch_size < max(2, ranks.size):
        raise InputError(
            f"batches of {batch_size} images ({samples} images, train.batch_size={config.batch_size}, "
            f"train.accumulate={config.accumulate}) are too small for {ranks.size} processes; a batch needs at least "
            "two images, and one for each process"
        )
    schedule = make_schedule(config, samples=samples, subcenters=subcenters)
    return Sampler(samples, batch_size, config.accumulate, schedule, seed)
