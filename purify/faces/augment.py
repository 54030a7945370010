"""Random views of a training batch: mirror, small similarity transform, light and gray.

Everything is vectorized over the batch and drawn from one generator, so that a step's batch is a function of
the seed and the step alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Augmentation:
    """How strongly views vary.

    Attributes
    ----------
    flip
        Probability of a mirror image.
    shift
        Largest translation, as a share of the side.
    zoom
        Largest relative change of size.
    rotate
        Largest rotation in degrees.
    light
        Largest change of brightness (share of the value range) and of contrast (relative).
    gray
        Probability of a gray image.
    """

    flip: float = 0.5
    shift: float = 0.08
    zoom: float = 0.12
    rotate: float = 10.0
    light: float = 0.25
    gray: float = 0.15


def to_input(images: Tensor) -> Tensor:
    """``images[N, 3, S, S]`` in 0..255 -> the same in [-1, 1], in channels-last memory order."""
    return ((images.float() - 127.5) / 127.5).contiguous(memory_format=torch.channels_last)


def augment(images: Tensor, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
    """``images[N, 3, S, S]`` uint8 -> random views, float in 0..255.

    Parameters
    ----------
    images
        uint8, on the CPU or on the device of the model.
    augmentation
        Strengths.
    generator
        A CPU generator; the draws are moved to the images' device, so a seed means the same views everywhere.
    """
    n, device = len(images), images.device

    def draw() -> Tensor:
        return torch.rand(n, generator=generator).to(device) * 2 - 1

    def chance(probability: float) -> Tensor:
        return torch.rand(n, generator=generator).to(device) < probability

    views = images.float()
    flip = torch.where(chance(augmentation.flip), -1.0, 1.0)
    zoom, angle = 1 + draw() * augmentation.zoom, draw() * math.radians(augmentation.rotate)
    move = torch.stack([draw(), draw()], dim=1) * (2 * augmentation.shift)
    views = _warp(views, flip=flip, zoom=zoom, angle=angle, move=move)
    contrast = (1 + draw() * augmentation.light).view(n, 1, 1, 1)
    brightness = (draw() * augmentation.light * 127.5).view(n, 1, 1, 1)
    views = (views - 127.5) * contrast + 127.5 + brightness
    gray = chance(augmentation.gray).view(n, 1, 1, 1)
    return torch.where(gray, views.mean(dim=1, keepdim=True), views)


def _warp(images: Tensor, *, flip: Tensor, zoom: Tensor, angle: Tensor, move: Tensor) -> Tensor:
    """Similarity transform with replicated borders; `flip` is +1 or -1 and mirrors the x axis."""
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    rows = torch.stack(
        [torch.stack([cos * flip, -sin, move[:, 0]], 1), torch.stack([sin * flip, cos, move[:, 1]], 1)], 1
    )
    grid = F.affine_grid(rows, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
