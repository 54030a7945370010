"""Synthetic face masks over the lower half of aligned faces, drawn on a whole batch at once.

Training on masked faces lets a network recognize people with covered mouth and chin (as do the masked CASIA-WebFace
and CelebA of Mare et al., arXiv 2109.01745, with nine drawn masks). Here each mask has its own shape and color, placed
by the field's five-point template over nose, cheeks and chin.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

#: Uniform numbers per mask.
MASK_DRAWS = 11

# In units of the side, x from the middle line; of the template: eyes at y = 0.46, nose tip 0.64, mouth 0.82.
_TOP, _TOP_SPREAD = 0.53, 0.10
_HALF_WIDTH, _WIDTH_SPREAD = 0.36, 0.08
_CHEEK, _CHEEK_SPREAD = 0.05, 0.09
_CHIN = 1.06
_TAPER, _TAPER_SPREAD = 0.25, 0.3
_TILT = 0.05
_STRAP = 0.012
#: Usual colors of masks: surgical blue and green, white, black, gray, pink.
_COLORS = ((150, 190, 220), (140, 195, 185), (232, 232, 228), (32, 32, 36), (120, 120, 126), (215, 165, 180))
_COLOR_SPREAD = 24.0
_FOLDS = 5.0
_FOLD_DEPTH, _ROUNDING = 0.08, 0.25


def cover_lower_face(images: Tensor, draws: Tensor) -> Tensor:
    """``images[N, 3, S, S]`` float in 0..255 -> the same with a mask over each face.

    The faces are upright, aligned to the five-point template; ``draws[N, MASK_DRAWS]`` float32, uniform in [0, 1),
    decide shape and color of each mask.
    """
    column = iter(draws.unbind(dim=1))
    x, y = _coordinates(images, column)
    half_width = _spread(column, _HALF_WIDTH, _WIDTH_SPREAD)
    top = _spread(column, _TOP, _TOP_SPREAD) + _spread(column, _CHEEK, _CHEEK_SPREAD) * (x / half_width).abs() ** 1.5
    depth = ((y - top) / (_CHIN - top)).clamp(0, 1)
    edge = half_width * (1 - _spread(column, _TAPER, _TAPER_SPREAD) * depth**3)
    inside = torch.minimum(y - top, edge - x.abs())
    strap = _STRAP - (y - top - 0.02).abs() - (edge - x.abs()).clamp(min=0)
    side = images.shape[-1]
    cover = (torch.maximum(inside, strap) * side + 0.5).clamp(0, 1)  # anti-aliased over one pixel
    cloth = _color(column).view(-1, 3, 1, 1) * _shade(column, x / half_width, depth)[:, None]
    return torch.lerp(images, cloth.clamp(0, 255), cover[:, None])


def _coordinates(images: Tensor, column: Iterator[Tensor]) -> tuple[Tensor, Tensor]:
    """``x[N, S, S]`` from the middle line and ``y[N, S, S]`` from the top, slightly tilted and shifted for each."""
    side = images.shape[-1]
    line = (torch.arange(side, device=images.device) + 0.5) / side
    y, x = torch.meshgrid(line, line - 0.5, indexing="ij")
    tilt, shift = _spread(column, -_TILT, 2 * _TILT), _spread(column, -_TILT / 2, _TILT)
    return x + shift, y + tilt * x


def _spread(column: Iterator[Tensor], low: float, width: float) -> Tensor:
    """The next draw of each mask, in [low, low + width), shaped to broadcast over pixels."""
    return (low + width * next(column)).view(-1, 1, 1)


def _color(column: Iterator[Tensor]) -> Tensor:
    """RGB [N, 3]: a variation of one of the usual colors."""
    first = next(column)
    colors = torch.tensor(_COLORS, dtype=first.dtype, device=first.device)
    chosen = colors[(first * len(_COLORS)).long().clamp(max=len(_COLORS) - 1)]
    off = torch.stack([next(column), next(column), next(column)], dim=1) - 0.5
    return chosen + 2 * _COLOR_SPREAD * off


def _shade(column: Iterator[Tensor], x: Tensor, depth: Tensor) -> Tensor:
    """Brightness [N, S, S]: folds across the face, and darker sides, as of cloth over a round face."""
    folds = torch.cos(2 * torch.pi * _FOLDS * depth) * (_FOLD_DEPTH * next(column).view(-1, 1, 1))
    return (1 - _ROUNDING * x**2) * (1 + folds)
