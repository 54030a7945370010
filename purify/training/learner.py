"""What a training changes, and one update of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from purify.config import ModelConfig, TrainConfig
from purify.models.backbones import build_backbone, load_backbone_weights
from purify.models.heads import SubcenterHead
from purify.models.sampling import competing
from purify.training.collapse import separation
from purify.training.data import TrainingSet
from purify.training.precision import autocast, default_device, resolve_precision
from purify.training.schedule import Schedule, default_scale

#: Length of the random step from a class's center to each of its new sub-centers (which are unit vectors).
GROW_SPREAD = 0.1


@dataclass
class Learner:
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


def new_learner(data: TrainingSet, model: ModelConfig, config: TrainConfig, *, seed: int) -> Learner:
    """Fresh weights (or the backbone's given ones) and an optimizer, on the device of this machine."""
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
    return Learner(backbone, head, optimizer, loss_scaler, device, dtype)


def update(
    learner: Learner,
    images: Tensor,
    labels: Tensor,
    schedule: Schedule,
    *,
    subcenters: int,
    sample_rate: float,
    seed: int,
) -> float:
    """One update on ``images[N, 3, S, S]`` and ``labels[N]``, on the learner's device; returns the loss."""
    step = learner.step
    generator = torch.Generator().manual_seed(int(np.random.SeedSequence([seed, step]).generate_state(1)[0]))
    torch.manual_seed(seed + step)  # dropout draws from the global generator
    if step == schedule.grow_step and subcenters > 1:
        _grow(learner, subcenters, generator)
    learner.head.margin = schedule.margin_at(step)
    for group in learner.optimizer.param_groups:
        group["lr"] = schedule.learning_rate_at(step)
    learner.backbone.train()
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


def _grow(learner: Learner, subcenters: int, generator: torch.Generator) -> None:
    """K sub-centers from one; the new rows start without momentum."""
    learner.optimizer.state.pop(learner.head.weight, None)
    learner.head.grow(subcenters, spread=GROW_SPREAD, generator=generator)
    learner.optimizer.param_groups[1]["params"] = [learner.head.weight]
