"""Random views of a training batch: mirror, small similarity transform, light, gray, and masks over the lower face.

Everything is vectorized over the batch. The draws of an image depend on the seed, the step and its row alone, not on
the thread or process, nor on the other images of the batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from purify.faces.masks import MASK_DRAWS, cover_lower_face

#: Uniform numbers per view, followed by those of its mask.
_VIEW_DRAWS = 9
_DRAWS = _VIEW_DRAWS + MASK_DRAWS


@dataclass(frozen=True)
class Augmentation:
    """Strength of the augmentation: probabilities and largest changes."""

    #: Probability of a mirror image.
    flip: float = 0.5
    #: Largest translation, as a share of the side.
    shift: float = 0.08
    #: Largest relative change of size.
    zoom: float = 0.12
    #: Largest rotation in degrees.
    rotate: float = 10.0
    #: Largest change of brightness (share of the value range) and of contrast (relative).
    light: float = 0.25
    #: Probability of a gray image.
    gray: float = 0.15
    #: Probability of a synthetic mask over the lower face.
    mask: float = 0.0


def to_input(images: Tensor) -> Tensor:
    """``images[N, 3, S, S]`` in 0..255 -> the same in [-1, 1], in channels-last memory order."""
    return ((images.float() - 127.5) / 127.5).contiguous(memory_format=torch.channels_last)


def random_views(
    pixels: npt.NDArray[np.uint8],
    rows: npt.NDArray[np.int64],
    augmentation: Augmentation,
    *,
    seed: int,
    step: int,
    device: torch.device,
) -> Tensor:
    """``pixels[N, 3, S, S]`` of the images `rows` -> input of a backbone on `device`, a random view of each.

    Copies to a GPU don't wait for its current computation.
    """
    images, draws = torch.from_numpy(pixels), torch.from_numpy(view_draws(rows, seed=seed, step=step))
    if device.type == "cuda":
        images, draws = images.pin_memory(), draws.pin_memory()
    views = augment(images.to(device, non_blocking=True), augmentation, draws.to(device, non_blocking=True))
    return to_input(views)


def view_draws(rows: npt.NDArray[np.int64], *, seed: int, step: int) -> npt.NDArray[np.float32]:
    """Uniform numbers in [0, 1) for `augment`, one line for each of the images `rows`.

    Philox (Salmon et al., SC 2011) is a function of a key and a counter, so an image's draws depend on no others.
    """
    key = np.random.SeedSequence([seed, step]).generate_state(2, np.uint64)
    draws = np.empty((len(rows), _DRAWS), np.float32)
    for line, row in zip(draws, rows.tolist(), strict=True):
        generator = np.random.Philox(key=key, counter=[0, 0, row, 0])
        np.random.Generator(generator).random(dtype=np.float32, out=line)
    return draws


def augment(images: Tensor, augmentation: Augmentation, draws: Tensor) -> Tensor:
    """``images[N, 3, S, S]`` uint8 -> random views, float in 0..255; `draws` (`view_draws`) are on the same device."""
    n = len(images)
    flip, zoom, turn, right, down, contrast, brightness, gray, mask = draws[:, :_VIEW_DRAWS].unbind(dim=1)
    views = images.float()
    if augmentation.mask:
        covered = (mask < augmentation.mask).nonzero().squeeze(1)  # before the warp: a mask moves with its face
        views[covered] = cover_lower_face(views[covered], draws[covered, _VIEW_DRAWS:])
    views = _warp(
        views,
        flip=torch.where(flip < augmentation.flip, -1.0, 1.0),
        zoom=1 + _signed(zoom) * augmentation.zoom,
        angle=_signed(turn) * math.radians(augmentation.rotate),
        move=torch.stack([_signed(right), _signed(down)], dim=1) * (2 * augmentation.shift),
    )
    factor = (1 + _signed(contrast) * augmentation.light).view(n, 1, 1, 1)
    offset = (_signed(brightness) * augmentation.light * 127.5).view(n, 1, 1, 1)
    views = (views - 127.5) * factor + 127.5 + offset
    return torch.where((gray < augmentation.gray).view(n, 1, 1, 1), views.mean(dim=1, keepdim=True), views)


def _signed(draws: Tensor) -> Tensor:
    return draws * 2 - 1


def _warp(images: Tensor, *, flip: Tensor, zoom: Tensor, angle: Tensor, move: Tensor) -> Tensor:
    """Similarity transform with replicated borders; `flip` is +1 or -1 and mirrors the x axis."""
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    rows = torch.stack(
        [torch.stack([cos * flip, -sin, move[:, 0]], 1), torch.stack([sin * flip, cos, move[:, 1]], 1)], 1
    )
    grid = F.affine_grid(rows, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
