"""A learner as a resume point, and back."""

from __future__ import annotations

import torch
from torch import nn

from purify.training.learner import Learner
from purify.training.state import ResumePoint

_LOSS_SCALER = "loss_scaler"


def _momentum_names(learner: Learner) -> list[tuple[str, nn.Parameter]]:
    named = [(f"backbone.{name}", parameter) for name, parameter in learner.backbone.named_parameters()]
    return [*[(name, p) for name, p in named if p.requires_grad], ("head.weight", learner.head.weight)]


def capture(learner: Learner, fingerprint: str) -> ResumePoint:
    """The learner between two steps."""
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


def restore(learner: Learner, point: ResumePoint) -> None:
    """Put a fresh learner where `point` was taken."""
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
