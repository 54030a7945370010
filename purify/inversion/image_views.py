"""Random views of the images in the making, and their first noise: functions of seed, step and image alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from purify.faces.augment import view_draws

#: Keeps the draws of jitter apart from all others of the same seed and step.
_JITTER = 0x6A69


def image_numbers(names: Sequence[str]) -> npt.NDArray[np.int64]:
    """A number for each name, for its random draws; the same in any batch and order."""
    digests = [hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest() for name in names]
    return np.array([int.from_bytes(digest[:8], "little") >> 1 for digest in digests], np.int64)


def first_noise(numbers: npt.NDArray[np.int64], *, seed: int, side: int, std: float) -> Tensor:
    """``[N, 3, side, side]``, normal with mean 0 and `std`; each image by its own number."""
    draws = [np.random.default_rng([seed, number]).standard_normal((3, side, side)) for number in numbers.tolist()]
    return torch.from_numpy(np.stack(draws).astype(np.float32) * np.float32(std))


def enlarge(images: Tensor, side: int) -> Tensor:
    """Scale to ``[N, 3, side, side]``, bilinearly; the images themselves if they are of that size."""
    if images.shape[-1] == side:
        return images
    return F.interpolate(images, size=(side, side), mode="bilinear", align_corners=False)


def scale_color(images: Tensor, factor: float) -> Tensor:
    """Multiply what distinguishes the channels of ``[N, 3, S, S]`` by `factor`; their mean stays."""
    if factor == 1:
        return images
    gray = images.mean(dim=1, keepdim=True)
    return gray + factor * (images - gray)


def jittered(images: Tensor, most: int, *, seed: int, step: int) -> Tensor:
    """Shift a batch by up to `most` pixels in each direction, the same for all images; borders are repeated.

    The same for all, so that a shift doesn't widen the statistics over the batch.
    """
    if most == 0:
        return images
    right, down = np.random.default_rng([seed, step, _JITTER]).integers(0, 2 * most, size=2, endpoint=True).tolist()
    side = images.shape[-1]
    padded = F.pad(images, (most, most, most, most), mode="replicate")
    return padded[..., down : down + side, right : right + side]


def flipped(images: Tensor, numbers: npt.NDArray[np.int64], *, seed: int, step: int) -> Tensor:
    """Mirror about half of the images; which ones depends on their numbers, the seed and the step."""
    draws = torch.from_numpy(view_draws(numbers, seed=seed, step=step)[:, 0] < 0.5).to(images.device)
    return torch.where(draws.view(-1, 1, 1, 1), images.flip(3), images)
