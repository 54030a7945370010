"""Exponential moving average (EMA) of the weights, smoother than the last ones, which jump with each batch."""

from __future__ import annotations

import torch
from torch import nn

from purify.models.heads import SubcenterHead


class EmaWeights:
    """Exponential moving average of a backbone's parameters and buffers, and of a head's rows.

    In the first steps the decay is at most ``(1 + t) / (10 + t)``, or the average would remember the random start.
    """

    def __init__(self, decay: float, backbone: nn.Module, head: SubcenterHead) -> None:
        self._decay = decay
        self.backbone = {name: tensor.detach().clone() for name, tensor in backbone.state_dict().items()}
        self.restart_head(head)

    def restart_head(self, head: SubcenterHead) -> None:
        """Restart the head's average after growth: new rows have none."""
        self.head = head.weight.detach().clone()

    @torch.no_grad()
    def update(self, backbone: nn.Module, head: SubcenterHead, *, step: int) -> None:
        """Move towards the weights after step number `step`, counted from 0."""
        weight = 1 - min(self._decay, (1 + step) / (10 + step))
        for name, tensor in backbone.state_dict().items():
            mean = self.backbone[name]
            if mean.is_floating_point():
                mean.lerp_(tensor, weight)
            else:
                mean.copy_(tensor)
        self.head.lerp_(head.weight, weight)

    def copy_to(self, backbone: nn.Module, head: SubcenterHead) -> None:
        """Replace the weights by their averages."""
        backbone.load_state_dict(self.backbone)
        head.weight = nn.Parameter(self.head)
