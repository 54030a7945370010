"""One step of a training: forward and backward of its batches, and one update of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from purify.models.heads import SubcenterHead
from purify.models.partial_fc import competing
from purify.models.seeding import seeded
from purify.models.sharded_softmax import cross_entropy, join_rows
from purify.training.collapse import separation
from purify.training.schedule import Schedule
from purify.training.train_state import Learner

#: What a draw is for; with the seed and the step it decides the numbers.
_CLASSES, _DROPOUT = 3, 4


@dataclass(frozen=True)
class Plan:
    """What all steps share.

    Attributes
    ----------
    schedule
        Learning rate, margin and growth.
    subcenters
        K after growth.
    sample_rate
        Share of the other classes that compete.
    clip_norm
        Largest norm of the gradients of backbone and head; none: any.
    seed
        Of every draw.
    """

    schedule: Schedule
    subcenters: int
    sample_rate: float
    clip_norm: float | None
    seed: int


def update(learner: Learner, plan: Plan, labels: Tensor, batches: Iterable[Tensor]) -> float:
    """Do the next step; returns the loss.

    Parameters
    ----------
    learner, plan
        What is changed, and how.
    labels
        int64[A, B] of the A batches of this step, of all ranks.
    batches
        A times views [n, 3, S, S] on the learner's device: the rank's part of each batch.
    """
    _prepare(learner, plan)
    labels = labels.to(learner.device)
    drawn = competing(
        learner.head,
        learner.optimizer,
        labels.flatten(),
        classes=learner.classes,
        rate=plan.sample_rate,
        generator=seeded(plan.seed, learner.step, _CLASSES),
    )
    with drawn as (head, targets):
        learner.optimizer.zero_grad(set_to_none=True)
        loss = _collect_gradients(learner, plan, head, targets.view_as(labels), batches)
        _apply_gradients(learner, head, clip_norm=plan.clip_norm)
    if learner.average is not None:
        learner.average.follow(learner.backbone, learner.head, step=learner.step)
    if learner.step % plan.schedule.steps_per_epoch == 0:
        learner.epoch_losses.append(0.0)
    learner.epoch_losses[-1] += loss / plan.schedule.steps_per_epoch
    learner.step += 1
    return loss


def _prepare(learner: Learner, plan: Plan) -> None:
    step, schedule = learner.step, plan.schedule
    if step == schedule.grow_step and learner.head.subcenters < plan.subcenters:
        learner.grow(plan.subcenters, seed=plan.seed)
    learner.head.margin = schedule.margin_at(step)
    for group in learner.optimizer.param_groups:
        group["lr"] = schedule.learning_rate_at(step)
    learner.start_step()
    # dropout draws from the global generator
    torch.manual_seed(seeded(plan.seed, step, _DROPOUT, learner.world.rank).initial_seed())


def _collect_gradients(
    learner: Learner, plan: Plan, head: SubcenterHead, targets: Tensor, batches: Iterable[Tensor]
) -> float:
    """Gradients of the mean loss of all batches; returns that loss."""
    count, size = targets.shape
    mean = 0.0
    for number, (wanted, images) in enumerate(zip(targets, batches, strict=True), start=1):
        with learner.gradients_stay_here(number < count):
            embeddings = join_rows(learner.embed(images), size, learner.world)
            loss = cross_entropy(head(embeddings, wanted), wanted, learner.world) / count
            learner.loss_scaler.scale(loss).backward()
        mean += float(loss.detach())
        if learner.step in plan.schedule.last_epoch:
            with torch.no_grad():
                value = separation(head.cosines(embeddings), wanted, learner.world)
            learner.separation += value / (count * plan.schedule.steps_per_epoch)
    return mean


def _apply_gradients(learner: Learner, head: SubcenterHead, *, clip_norm: float | None) -> None:
    scaler, world = learner.loss_scaler, learner.world
    if head.weight.grad is None:  # none of the rank's classes was drawn
        head.weight.grad = torch.zeros_like(head.weight)
    if scaler.is_enabled() and world.size > 1:
        _share_overflow(learner, head.weight.grad)
    if clip_norm is not None:
        scaler.unscale_(learner.optimizer)
        backbone = [p.grad for p in learner.backbone.parameters() if p.grad is not None]
        _clip(backbone, sum(g.square().sum() for g in backbone), clip_norm)
        _clip([head.weight.grad], world.add(head.weight.grad.square().sum()), clip_norm)
    scaler.step(learner.optimizer)
    scaler.update()


def _clip(gradients: list[Tensor], square: Tensor | int, clip_norm: float) -> None:
    """Scale `gradients`, the square of whose norm (over all ranks) is given, down to the norm `clip_norm`."""
    for gradient in gradients:
        gradient.mul_((clip_norm / (torch.as_tensor(square).sqrt() + 1e-6)).clamp_max(1.0))


def _share_overflow(learner: Learner, gradient: Tensor) -> None:
    """A head whose gradient overflowed on one rank makes all ranks skip the step, as one process would."""
    overflow = learner.world.largest((~gradient.isfinite()).any().float())
    if overflow:
        gradient.fill_(math.inf)
