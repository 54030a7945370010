"""One training step: forward and backward passes of its batches, and one update of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from purify.models.heads import SubcenterHead
from purify.models.partial_fc import sampled_head
from purify.models.seeding import seeded_generator
from purify.models.sharded_softmax import cross_entropy, gather_rows
from purify.training.collapse import separation
from purify.training.schedule import Schedule
from purify.training.train_state import TrainState

#: Purpose of the draw of classes, seeded by (seed, step, purpose).
_CLASSES = 3


def train_step(state: TrainState, schedule: Schedule, labels: Tensor, batches: Iterable[Tensor]) -> Tensor:
    """Run the next step on `state`, in place; returns the loss, a number on the state's device.

    ``labels`` int64[A, B], on the host, are those of this step's A batches, of all ranks; `batches` are this rank's
    share of each: A times views [n, 3, S, S] on the state's device. Nothing here waits for a GPU: the step is queued
    while it is still at the one before. Whoever reads a number waits.
    """
    _prepare(state, schedule)
    drawn = sampled_head(
        state.head,
        state.optimizer,
        labels.flatten(),
        classes=state.classes,
        rate=schedule.config.sample_rate,
        generator=seeded_generator(state.seed, state.step, _CLASSES),
    )
    with drawn as (head, targets):
        state.optimizer.zero_grad(set_to_none=True)
        loss = _collect_gradients(state, schedule, head, targets.view_as(labels), batches)
        _apply_gradients(state, head, clip_norm=schedule.config.clip_norm)
    if state.ema is not None:
        state.ema.update(state.backbone, state.head, step=state.step)
    if state.step % schedule.steps_per_epoch == 0:
        state.losses.append(torch.zeros_like(loss))
    state.losses[-1] += loss / schedule.steps_per_epoch
    state.step += 1
    return loss


def _prepare(state: TrainState, schedule: Schedule) -> None:
    step = state.step
    if state.head.subcenters < (subcenters := schedule.subcenters_at(step)):
        state.grow(subcenters)
    state.head.margin = schedule.margin_at(step)
    for group in state.optimizer.param_groups:
        group["lr"] = schedule.learning_rate_at(step)
    # batch normalization of a frozen backbone stays in evaluation mode
    state.backbone.train(any(parameter.requires_grad for parameter in state.backbone.parameters()))


def _collect_gradients(
    state: TrainState, schedule: Schedule, head: SubcenterHead, targets: Tensor, batches: Iterable[Tensor]
) -> Tensor:
    """Gradients of the mean loss of all batches; returns that loss."""
    count, size = targets.shape
    mean = torch.zeros_like(state.separation)
    for number, (wanted, images) in enumerate(zip(targets, batches, strict=True), start=1):
        with state.local_gradients(number < count):
            embeddings = gather_rows(state.embed(images), size, state.ranks)
            loss = cross_entropy(head(embeddings, wanted), wanted, state.ranks) / count
            state.loss_scaler.scale(loss).backward()
        mean += loss.detach()
        if state.step in schedule.last_epoch:
            with torch.no_grad():
                value = separation(head.cosines(embeddings), wanted, state.ranks)
            state.separation += value.to(mean) / (count * schedule.steps_per_epoch)
    return mean


def _apply_gradients(state: TrainState, head: SubcenterHead, *, clip_norm: float | None) -> None:
    scaler, ranks = state.loss_scaler, state.ranks
    if head.weight.grad is None:  # none of the rank's classes was drawn
        head.weight.grad = torch.zeros_like(head.weight)
    if scaler.is_enabled() and ranks.size > 1:
        _share_overflow(state, head.weight.grad)
    if clip_norm is not None:
        scaler.unscale_(state.optimizer)
        backbone = [p.grad for p in state.backbone.parameters() if p.grad is not None]
        _clip(backbone, sum(g.square().sum() for g in backbone), clip_norm)
        _clip([head.weight.grad], ranks.all_reduce(head.weight.grad.square().sum()), clip_norm)
    scaler.step(state.optimizer)
    scaler.update()


def _clip(gradients: list[Tensor], square: Tensor | int, clip_norm: float) -> None:
    """Scale `gradients`, the square of whose norm (over all ranks) is given, down to the norm `clip_norm`."""
    for gradient in gradients:
        gradient.mul_((clip_norm / (torch.as_tensor(square).sqrt() + 1e-6)).clamp_max(1.0))


def _share_overflow(state: TrainState, gradient: Tensor) -> None:
    """Make all ranks skip the step if the head's gradient overflowed on one, as a single process would."""
    overflow = state.ranks.all_reduce_max((~gradient.isfinite()).any().float())
    gradient.masked_fill_(overflow.bool(), math.inf)
