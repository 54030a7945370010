"""Brushes: soft shapes as float images, colors in linear light, layers over one another, noise textures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

#: Images and colors; float32, but NumPy types it more loosely.
Array = npt.NDArray[np.floating[Any]]
Color = Array
Window = tuple[slice, slice]

_BITS = 8
_TEXTURE_SIDE = 1 << _BITS
_MASK = _TEXTURE_SIDE - 1
_TEXTURE_SEED = 20200823


@dataclass(frozen=True)
class Layer:
    """Linear color float32[3, H, W] and coverage float32[H, W] of the pixels in `window` (None: of all)."""

    color: Array
    alpha: Array
    window: Window | None = None

    def onto(self, picture: Array) -> None:
        """Lay this layer over ``picture[3, S, S]`` in place."""
        lay(picture, self.color, self.alpha, self.window)


def linear(red: float, green: float, blue: float) -> Color:
    """A color given in display values 0..1, in linear light (gamma 2, which is a square), float32[3, 1, 1]."""
    return np.square(np.array([red, green, blue], np.float32)).reshape(3, 1, 1)


def ramp(stops: Sequence[tuple[float, float, float]], position: float) -> Color:
    """Color at `position` in [0, 1] of a piecewise linear ramp of display colors, in linear light."""
    table = np.array(stops, np.float32)
    where = position * (len(table) - 1)
    return linear(*(np.interp(where, np.arange(len(table)), channel) for channel in table.T))


def lay(picture: Array, color: Array, alpha: Array, window: Window | None = None) -> None:
    """Lay `color` over ``picture[3, S, S]`` in place, where `alpha` covers it; in `window` only, if given."""
    part = picture if window is None else picture[(slice(None), *window)]
    part += alpha * (color - part)


def edge(distance: Array, soft: float) -> Array:
    """Coverage of a shape from the signed distance to its outline (inside > 0), over a border `soft` wide."""
    return np.clip(distance * np.float32(1 / soft) + np.float32(0.5), 0, 1)


def bump(x: Array, y: Array, center: tuple[float, float], size: tuple[float, float]) -> Array:
    """A Gaussian hill of height 1; `size` is where it has fallen to 1/e along x and y."""
    across = (x - np.float32(center[0])) * np.float32(1 / size[0])
    along = (y - np.float32(center[1])) * np.float32(1 / size[1])
    return np.exp(-(across * across + along * along))


def ellipse(x: Array, y: Array, center: tuple[float, float], size: tuple[float, float]) -> Array:
    """About the signed distance to an ellipse of half axes `size`, inside > 0."""
    across = (x - np.float32(center[0])) * np.float32(1 / size[0])
    along = (y - np.float32(center[1])) * np.float32(1 / size[1])
    return (1 - np.sqrt(across * across + along * along)) * np.float32(min(size))


def box(x: Array, y: Array, center: tuple[float, float], size: tuple[float, float], *, round_by: float = 0.0) -> Array:
    """About the signed distance to a rectangle of half sides `size` with rounded corners, inside > 0."""
    across = np.abs(x - np.float32(center[0])) - np.float32(size[0] - round_by)
    along = np.abs(y - np.float32(center[1])) - np.float32(size[1] - round_by)
    outside = np.hypot(np.maximum(across, 0), np.maximum(along, 0))
    return np.float32(round_by) - outside - np.minimum(np.maximum(across, along), 0)


def segment(x: Array, y: Array, start: tuple[float, float], end: tuple[float, float]) -> Array:
    """Distance to the line from `start` to `end`."""
    along_x, along_y = end[0] - start[0], end[1] - start[1]
    share = ((x - start[0]) * along_x + (y - start[1]) * along_y) / (along_x**2 + along_y**2)
    share = np.clip(share, 0, 1)
    return np.hypot(x - start[0] - share * along_x, y - start[1] - share * along_y)


def rise(values: Array, low: float, high: float) -> Array:
    """Smooth step: 0 below `low`, 1 above `high` (or falling, if `high` < `low`)."""
    share = np.clip((values - np.float32(low)) * np.float32(1 / (high - low)), 0, 1)
    return share * share * (3 - 2 * share)


def window(x: Array, y: Array, center: tuple[float, float], size: tuple[float, float]) -> Window | None:
    """The rows and columns of pixels whose (x, y) may lie within `size` of `center`; None: none do."""
    near = (np.abs(x - np.float32(center[0])) < size[0]) & (np.abs(y - np.float32(center[1])) < size[1])
    rows, columns = np.flatnonzero(near.any(axis=1)), np.flatnonzero(near.any(axis=0))
    if not len(rows):
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


@cache
def texture(slope: float) -> Array:
    """Tileable noise float32[256, 256] of mean 0 and deviation 1, whose amplitude falls as frequency**-slope."""
    rng = np.random.default_rng([_TEXTURE_SEED, round(slope * 100)])
    waves = np.fft.rfft2(rng.normal(size=(_TEXTURE_SIDE, _TEXTURE_SIDE)))
    across = np.fft.rfftfreq(_TEXTURE_SIDE)[None, :]
    down = np.fft.fftfreq(_TEXTURE_SIDE)[:, None]
    frequency = np.maximum(np.hypot(across, down), 1 / _TEXTURE_SIDE)
    waves *= frequency**-slope
    waves[0, 0] = 0
    values = np.fft.irfft2(waves, s=(_TEXTURE_SIDE, _TEXTURE_SIDE))
    return (values / values.std()).astype(np.float32)


def grain(x: Array, y: Array, slope: float, seed: int) -> Array:
    """Noise texture looked up at ``(x, y)`` in texels, at a place that depends on `seed`."""
    rows = (y + np.float32(seed % 251)).astype(np.int32)
    columns = (x + np.float32(seed // 251 % 241)).astype(np.int32)
    return texture(slope).take(((rows & _MASK) << _BITS) | (columns & _MASK))
