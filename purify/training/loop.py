"""The training loop: batches in, a checkpoint out; interruptible, and the same bits when resumed (CPU)."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from purify.config import ModelConfig, TrainConfig
from purify.errors import InputError
from purify.faces.augment import Augmentation, augment, to_input
from purify.manifest.loading import ImageLoader
from purify.models.backbones import build_backbone, load_backbone_weights
from purify.models.checkpoint import Checkpoint
from purify.models.heads import SubcenterHead
from purify.models.sampling import competing
from purify.progress import Progress, silent
from purify.training.collapse import check_not_collapsed, separation
from purify.training.precision import autocast, default_device, resolve_precision
from purify.training.schedule import Schedule, default_scale, make_schedule
from purify.training.state import ResumePoint, load_resume_point, save_resume_point

#: Length of the random step from a class's center to each of its new sub-centers (which are unit vectors).
GROW_SPREAD = 0.1
_LOSS_SCALER = "loss_scaler"


@dataclass(frozen=True)
class TrainingSet:
    """Images and the labels to learn.

    Attributes
    ----------
    sample_ids, uris
        One of each an image.
    labels
        Class names; their order is the order of the head's rows.
    label_index
        int64[N] into `labels`.
    """

    sample_ids: Sequence[str]
    uris: Sequence[str]
    labels: tuple[str, ...]
    label_index: npt.NDArray[np.int64]

    @classmethod
    def from_columns(cls, sample_ids: Sequence[str], uris: Sequence[str], labels: Sequence[str]) -> TrainingSet:
        """Class order is the sorted order of the labels, so it does not depend on the order of the rows."""
        names, index = np.unique(np.asarray(labels, dtype=object), return_inverse=True)
        return cls(sample_ids, uris, tuple(names.tolist()), index.astype(np.int64))


@dataclass
class _Learner:
    """What a step changes."""

    backbone: nn.Module
    head: SubcenterHead
    optimizer: torch.optim.SGD
    loss_scaler: torch.amp.GradScaler
    device: torch.device
    dtype: torch.dtype
    step: int = 0
    loss_sum: float = 0.0
    separation_sum: float = 0.0


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
    learner = _new_learner(data, model, config, seed=seed)
    fingerprint = _fingerprint(data, model, config, subcenters=subcenters, seed=seed, learner=learner)
    if resume_path is not None and (point := load_resume_point(resume_path, fingerprint)):
        _restore(learner, point)
    batch_size = min(config.batch_size, len(data.sample_ids))
    with ImageLoader(data.sample_ids, data.uris, size=model.input_size, workers=config.workers) as loader:
        order = _order(len(data.sample_ids), batch_size, schedule, seed=seed, start=learner.step)
        saved, began, first = time.monotonic(), time.monotonic(), learner.step
        for rows, pixels in loader.batches(order):
            loss = _step(
                learner,
                torch.from_numpy(pixels),
                torch.from_numpy(data.label_index[rows]),
                schedule,
                subcenters=subcenters,
                sample_rate=config.sample_rate,
                seed=seed,
            )
            rate = (learner.step - first) * batch_size / (time.monotonic() - began)
            progress(learner.step, schedule.total_steps, f"loss {loss:.3f}, {rate:.0f} images/s")
            if resume_path is not None and time.monotonic() - saved >= config.checkpoint_seconds:
                save_resume_point(resume_path, _resume_point(learner, fingerprint))
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


def _new_learner(data: TrainingSet, model: ModelConfig, config: TrainConfig, *, seed: int) -> _Learner:
    device = default_device()
    torch.manual_seed(seed)
    backbone = build_backbone(model.backbone, embedding_dim=model.embedding_dim, input_size=model.input_size)
    if model.weights:
        load_backbone_weights(backbone, Path(model.weights))
    head = SubcenterHead(
        len(data.labels),
        model.embedding_dim,
        scale=config.scale or default_scale(len(data.labels)),
        negative_filter=config.negative_filter,
        generator=torch.Generator().manual_seed(seed),
    )
    backbone = backbone.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    head = head.to(device)
    trainable = [parameter for parameter in backbone.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(
        [{"params": trainable}, {"params": [head.weight]}],
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        nesterov=config.momentum > 0,
    )
    dtype = resolve_precision(config.precision, device)
    loss_scaler = torch.amp.GradScaler(device.type, enabled=dtype is torch.float16)
    return _Learner(backbone, head, optimizer, loss_scaler, device, dtype)


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


def _step(
    learner: _Learner,
    pixels: Tensor,
    labels: Tensor,
    schedule: Schedule,
    *,
    subcenters: int,
    sample_rate: float,
    seed: int,
) -> float:
    """One update; returns the loss."""
    step = learner.step
    generator = torch.Generator().manual_seed(int(np.random.SeedSequence([seed, step]).generate_state(1)[0]))
    torch.manual_seed(seed + step)  # dropout draws from the global generator
    if step == schedule.grow_step and subcenters > 1:
        _grow(learner, subcenters, generator)
    learner.head.margin = schedule.margin_at(step)
    for group in learner.optimizer.param_groups:
        group["lr"] = schedule.learning_rate_at(step)
    learner.backbone.train()
    images = to_input(augment(pixels.to(learner.device), Augmentation(), generator))
    labels = labels.to(learner.device)
    with autocast(learner.device, learner.dtype):
        embeddings = learner.backbone(images)
    drawn = competing(learner.head, learner.optimizer, labels, rate=sample_rate, generator=generator)
    with drawn as (head, targets):
        loss = F.cross_entropy(head(embeddings.float(), targets), targets)
        learner.optimizer.zero_grad(set_to_none=True)
        learner.loss_scaler.scale(loss).backward()
        learner.loss_scaler.step(learner.optimizer)
        learner.loss_scaler.update()
        learner.step += 1
        value = float(loss.detach())
        if learner.step > schedule.total_steps - schedule.steps_per_epoch:
            with torch.no_grad():
                learner.separation_sum += separation(head.cosines(embeddings.detach().float()), targets)
            learner.loss_sum += value
    return value


def _grow(learner: _Learner, subcenters: int, generator: torch.Generator) -> None:
    """K sub-centers from one; the new rows start without momentum."""
    learner.optimizer.state.pop(learner.head.weight, None)
    learner.head.grow(subcenters, spread=GROW_SPREAD, generator=generator)
    learner.optimizer.param_groups[1]["params"] = [learner.head.weight]


def _momentum_names(learner: _Learner) -> list[tuple[str, nn.Parameter]]:
    named = [(f"backbone.{name}", parameter) for name, parameter in learner.backbone.named_parameters()]
    return [*[(name, p) for name, p in named if p.requires_grad], ("head.weight", learner.head.weight)]


def _resume_point(learner: _Learner, fingerprint: str) -> ResumePoint:
    tensors = {f"backbone.{name}": tensor for name, tensor in learner.backbone.state_dict().items()}
    tensors["head.weight"] = learner.head.weight
    for name, parameter in _momentum_names(learner):
        if (momentum := learner.optimizer.state[parameter].get("momentum_buffer")) is not None:
            tensors[f"momentum.{name}"] = momentum
    extra = {
        "loss_sum": learner.loss_sum,
        "separation_sum": learner.separation_sum,
        _LOSS_SCALER: learner.loss_scaler.state_dict(),
    }
    return ResumePoint(fingerprint=fingerprint, step=learner.step, tensors=tensors, extra=extra)


def _restore(learner: _Learner, point: ResumePoint) -> None:
    backbone = {n.removeprefix("backbone."): t for n, t in point.tensors.items() if n.startswith("backbone.")}
    learner.backbone.load_state_dict(backbone)
    learner.head.weight = nn.Parameter(point.tensors["head.weight"].to(learner.device))
    learner.optimizer.param_groups[1]["params"] = [learner.head.weight]
    for name, parameter in _momentum_names(learner):
        if (momentum := point.tensors.get(f"momentum.{name}")) is not None:
            saved = torch.empty_like(parameter)
            learner.optimizer.state[parameter]["momentum_buffer"] = saved.copy_(momentum)
    learner.loss_scaler.load_state_dict(point.extra[_LOSS_SCALER])
    learner.step = point.step
    learner.loss_sum, learner.separation_sum = point.extra["loss_sum"], point.extra["separation_sum"]


def _checkpoint(learner: _Learner, data: TrainingSet, model: ModelConfig, *, seed: int) -> Checkpoint:
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
    learner: _Learner,
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
