"""Improved ResNets for faces (ArcFace, section 4.1): no bottleneck, BN-Conv-BN-PReLU-Conv-BN blocks.

Names and shapes of parameters and buffers are those of InsightFace's PyTorch implementation, so its ``backbone.pth``
loads.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

_CONV_STD = 0.1


@dataclass(frozen=True)
class IResNetSpec:
    """Channels and blocks of the four stages, each of which halves the resolution in its first block."""

    channels: tuple[int, int, int, int]
    blocks: tuple[int, int, int, int]

    @property
    def reduction(self) -> int:
        """Factor by which the side of the input shrinks."""
        return 2 ** len(self.channels)


IRESNETS = {
    "iresnet_small": IResNetSpec((16, 32, 64, 128), (1, 1, 1, 1)),
    "iresnet18": IResNetSpec((64, 128, 256, 512), (2, 2, 2, 2)),
    "iresnet34": IResNetSpec((64, 128, 256, 512), (3, 4, 6, 3)),
    "iresnet50": IResNetSpec((64, 128, 256, 512), (3, 4, 14, 3)),
    "iresnet100": IResNetSpec((64, 128, 256, 512), (3, 13, 30, 3)),
}


class IBasicBlock(nn.Module):
    """``x[N, C, H, W]`` -> ``[N, D, H/stride, W/stride]``; the second convolution strides."""

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.prelu = nn.PReLU(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Residual sum of the block and its (projected) input."""
        y = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        y = self.bn3(self.conv2(y))
        return y + (x if self.downsample is None else self.downsample(x))


class IResNet(nn.Module):
    """``images[N, 3, S, S]`` in [-1, 1] -> ``embeddings[N, D]``, not normalized; S = 112 is customary."""

    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential
    layer4: nn.Sequential

    def __init__(self, spec: IResNetSpec, *, embedding_dim: int, input_size: int) -> None:
        super().__init__()
        width = spec.channels[0]
        side = -(-input_size // spec.reduction)
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.prelu = nn.PReLU(width)
        inputs = width
        for stage, (channels, blocks) in enumerate(zip(spec.channels, spec.blocks, strict=True), start=1):
            self.add_module(f"layer{stage}", _stage(inputs, channels, blocks))
            inputs = channels
        self.bn2 = nn.BatchNorm2d(inputs)
        self.fc = nn.Linear(inputs * side * side, embedding_dim)
        self.features = nn.BatchNorm1d(embedding_dim)
        self.features.weight.requires_grad = False
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=_CONV_STD)

    def forward(self, images: Tensor) -> Tensor:
        """Under autocast the trunk runs in low precision, the last layer in float32."""
        x = self.prelu(self.bn1(self.conv1(images)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        x = torch.flatten(self.bn2(x), 1)
        with torch.autocast(x.device.type, enabled=False):
            return self.features(self.fc(x.to(self.fc.weight.dtype)))


def _stage(inputs: int, channels: int, blocks: int) -> nn.Sequential:
    first = IBasicBlock(inputs, channels, stride=2)
    return nn.Sequential(first, *(IBasicBlock(channels, channels, stride=1) for _ in range(blocks - 1)))
