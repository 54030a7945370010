"""A learner as a resume point, and back."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from purify.training.state import ResumePoint
from purify.training.train_state import Learner

_LOSS_SCALER = "loss_scaler"
_HEAD, _HEAD_MOMENTUM, _HEAD_AVERAGE = "head.weight", "momentum.head.weight", "average.head.weight"
_BACKBONE, _MOMENTUM, _AVERAGE = "backbone.", "momentum.backbone.", "average.backbone."


def capture(learner: Learner, fingerprint: str) -> ResumePoint:
    """The learner between two steps."""
    tensors = {_BACKBONE + name: tensor for name, tensor in learner.backbone.state_dict().items()}
    for name, parameter in _trained(learner):
        if (momentum := _momentum(learner, parameter)) is not None:
            tensors[_MOMENTUM + name] = momentum
    rows = {_HEAD: learner.head.weight.detach()}
    if (momentum := _momentum(learner, learner.head.weight)) is not None:
        rows[_HEAD_MOMENTUM] = momentum
    if learner.average is not None:
        tensors |= {_AVERAGE + name: tensor for name, tensor in learner.average.backbone.items()}
        rows[_HEAD_AVERAGE] = learner.average.head
    extra = {
        "epoch_losses": learner.epoch_losses,
        "separation": learner.separation,
        _LOSS_SCALER: learner.loss_scaler.state_dict(),
    }
    return ResumePoint(fingerprint, learner.step, tensors, rows, extra)


def restore(learner: Learner, point: ResumePoint) -> None:
    """Put a fresh learner where `point` was taken."""
    learner.backbone.load_state_dict(_named(point, _BACKBONE))
    learner.replace_rows(point.rows[_HEAD].clone())
    for name, parameter in _trained(learner):
        _set_momentum(learner, parameter, point.tensors.get(_MOMENTUM + name))
    _set_momentum(learner, learner.head.weight, point.rows.get(_HEAD_MOMENTUM))
    if learner.average is not None:
        learner.average.backbone = {
            name: torch.empty_like(learner.average.backbone[name]).copy_(tensor)
            for name, tensor in _named(point, _AVERAGE).items()
        }
        learner.average.head = point.rows[_HEAD_AVERAGE].to(learner.device, copy=True)
    learner.loss_scaler.load_state_dict(point.extra[_LOSS_SCALER])
    learner.step = point.step
    learner.epoch_losses, learner.separation = point.extra["epoch_losses"], point.extra["separation"]


def _trained(learner: Learner) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, p) for name, p in learner.backbone.named_parameters() if p.requires_grad)


def _named(point: ResumePoint, prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in point.tensors.items() if name.startswith(prefix)}


def _momentum(learner: Learner, parameter: nn.Parameter) -> Tensor | None:
    return learner.optimizer.state[parameter].get("momentum_buffer")


def _set_momentum(learner: Learner, parameter: nn.Parameter, momentum: Tensor | None) -> None:
    if momentum is not None:
        learner.optimizer.state[parameter]["momentum_buffer"] = torch.empty_like(parameter).copy_(momentum)
