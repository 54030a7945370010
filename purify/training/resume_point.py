"""Resume points: a training's state, saved at intervals, and restored.

Random draws are functions of (seed, step), so weights, momentum and the step are the whole state.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from purify.errors import InputError
from purify.training.resume_file import ResumeFile, ResumePoint
from purify.training.train_state import TrainState

_LOSS_SCALER = "loss_scaler"
_HEAD, _HEAD_MOMENTUM, _HEAD_EMA = "head.weight", "momentum.head.weight", "ema.head.weight"
_BACKBONE, _MOMENTUM, _EMA = "backbone.", "momentum.backbone.", "ema.backbone."


class ResumeKeeper:
    """Saves the state of a training, at least `seconds` after the last save, and restores it.

    Device and dtype become part of the fingerprint of `file`: on others the bits would differ.
    """

    def __init__(self, file: ResumeFile, state: TrainState, seconds: float) -> None:
        self._file = replace(file, fingerprint=f"{file.fingerprint} {state.device.type} {state.dtype}")
        self._state = state
        self._seconds = seconds
        self._saved = self._asked = time.monotonic()
        self._asked_at, self._next = state.step, state.step + 1

    def restore(self) -> None:
        """Continue from the last save, if there is one."""
        state = self._state
        if point := self._file.load(classes=state.classes):
            _restore(state, point)
            self._asked_at, self._next = state.step, state.step + 1
        steps = state.ranks.all_gather(torch.tensor([state.step], device=state.device)).flatten().tolist()
        if len(set(steps)) > 1:
            raise InputError(
                f"{self._file.path}: the ranks found resume points of steps {steps}; the folder has to be on a file "
                "system that all machines share"
            )

    def save_if_due(self) -> None:
        """Save on all ranks at once, by the first rank's clock.

        The ranks don't ask each other after every step: they agree on the next step at which to ask, half of the steps
        that are left by the speed since the last time, or less: a GPU's first steps seem faster than they are.
        """
        state = self._state
        if state.step < self._next:
            return
        now = time.monotonic()
        left = self._seconds - (now - self._saved)
        since = state.step - self._asked_at
        speed = since / max(now - self._asked, 1e-9)
        wait = max(1, min(int(speed * left / 2), 2 * since)) if left > 0 else 0
        first = wait if state.ranks.rank == 0 else 0
        wait = int(state.ranks.all_reduce_max(torch.tensor([first], device=state.device)).item())
        if not wait:
            self._file.save(_capture(state), classes=state.classes, ranks=state.ranks)
            self._saved = time.monotonic()
        self._asked, self._asked_at, self._next = now, state.step, state.step + max(1, wait)


def _capture(state: TrainState) -> ResumePoint:
    """The state between two steps."""
    tensors = {_BACKBONE + name: tensor for name, tensor in state.backbone.state_dict().items()}
    for name, parameter in _trained(state):
        if (momentum := _momentum(state, parameter)) is not None:
            tensors[_MOMENTUM + name] = momentum
    rows = {_HEAD: state.head.weight.detach()}
    if (momentum := _momentum(state, state.head.weight)) is not None:
        rows[_HEAD_MOMENTUM] = momentum
    if state.ema is not None:
        tensors |= {_EMA + name: tensor for name, tensor in state.ema.backbone.items()}
        rows[_HEAD_EMA] = state.ema.head
    extra = {
        "epoch_losses": state.epoch_losses,
        "separation": float(state.separation),
        _LOSS_SCALER: state.loss_scaler.state_dict(),
    }
    return ResumePoint(state.step, tensors, rows, extra)


def _restore(state: TrainState, point: ResumePoint) -> None:
    """Set a fresh state to that of `point`."""
    state.backbone.load_state_dict(_named(point, _BACKBONE))
    state.replace_rows(point.rows[_HEAD].clone())
    for name, parameter in _trained(state):
        _set_momentum(state, parameter, point.tensors.get(_MOMENTUM + name))
    _set_momentum(state, state.head.weight, point.rows.get(_HEAD_MOMENTUM))
    if state.ema is not None:
        state.ema.backbone = {
            name: torch.empty_like(state.ema.backbone[name]).copy_(tensor)
            for name, tensor in _named(point, _EMA).items()
        }
        state.ema.head = point.rows[_HEAD_EMA].to(state.device, copy=True)
    state.loss_scaler.load_state_dict(point.extra[_LOSS_SCALER])
    state.step = point.step
    state.restore_figures(point.extra["epoch_losses"], point.extra["separation"])


def _trained(state: TrainState) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, p) for name, p in state.backbone.named_parameters() if p.requires_grad)


def _named(point: ResumePoint, prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in point.tensors.items() if name.startswith(prefix)}


def _momentum(state: TrainState, parameter: nn.Parameter) -> Tensor | None:
    return state.optimizer.state[parameter].get("momentum_buffer")


def _set_momentum(state: TrainState, parameter: nn.Parameter, momentum: Tensor | None) -> None:
    if momentum is not None:
        state.optimizer.state[parameter]["momentum_buffer"] = torch.empty_like(parameter).copy_(momentum)
