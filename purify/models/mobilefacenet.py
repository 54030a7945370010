"""MobileFaceNet (Chen et al., 2018): inverted residuals, PReLU, and a global depthwise convolution at the end.

Parameter names are our own.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: (expansion, output channels, blocks, stride of the first block); table 1 of the paper.
_STAGES = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))
#: Factor by which the side of the input shrinks.
REDUCTION = 16


def _conv(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, padding: int = 0, groups: int = 1, linear: bool = False
) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, *([] if linear else [nn.PReLU(outputs)]))


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project; with a shortcut where the shapes match."""

    def __init__(self, inputs: int, outputs: int, *, expansion: int, stride: int) -> None:
        super().__init__()
        width = inputs * expansion
        self.expand = _conv(inputs, width, 1)
        self.filter = _conv(width, width, 3, stride=stride, padding=1, groups=width)
        self.project = _conv(width, outputs, 1, linear=True)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """``x[N, C, H, W]`` -> ``[N, D, H/stride, W/stride]``."""
        y = self.project(self.filter(self.expand(x)))
        return x + y if self.shortcut else y


class MobileFaceNet(nn.Module):
    """``images[N, 3, S, S]`` in [-1, 1] -> ``embeddings[N, D]``, not normalized."""

    def __init__(self, *, embedding_dim: int, input_size: int) -> None:
        super().__init__()
        side = -(-input_size // REDUCTION)
        self.stem = nn.Sequential(_conv(3, 64, 3, stride=2, padding=1), _conv(64, 64, 3, padding=1, groups=64))
        blocks: list[nn.Module] = []
        inputs = 64
        for expansion, outputs, count, stride in _STAGES:
            for i in range(count):
                blocks.append(InvertedResidual(inputs, outputs, expansion=expansion, stride=stride if i == 0 else 1))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.widen = _conv(inputs, 512, 1)
        self.pool = _conv(512, 512, side, groups=512, linear=True)
        self.fc = nn.Linear(512, embedding_dim, bias=False)
        self.features = nn.BatchNorm1d(embedding_dim)

    def forward(self, images: Tensor) -> Tensor:
        """Under autocast the trunk runs in low precision, the last layer in float32."""
        x = torch.flatten(self.pool(self.widen(self.blocks(self.stem(images)))), 1)
        with torch.autocast(x.device.type, enabled=False):
            return self.features(self.fc(x.to(self.fc.weight.dtype)))
