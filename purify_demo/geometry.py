"""A head as a stack of ellipses along y, seen under a turn: for each pixel, the point of the surface it shows.

At height Y the head's section is an ellipse of half width w(Y) and half depth d(Y). For an orthographic view that
is turned by yaw the point on a ray has a closed form, so a face is drawn without a mesh: every pixel of the image
is traced back to head coordinates, and features are painted there, in their own place and size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from purify_demo.paint import Array, Window
from purify_demo.scene import Pose

_TABLE = 512
_STEPS = 3
_RELIEF, _MARGIN = 0.2, 0.06


@dataclass(frozen=True)
class Profile:
    """Half width and half depth over height, tabulated from `low` to `high`, with their logarithmic slopes."""

    low: float
    high: float
    width: Array
    depth: Array
    width_slope: Array
    depth_slope: Array

    @classmethod
    def tabulate(cls, low: float, high: float, shape: Callable[[Array], tuple[Array, Array]]) -> Profile:
        """Tabulate ``shape(Y) -> (w, d)``; both should vanish at the ends."""
        heights = np.linspace(low, high, _TABLE, dtype=np.float32)
        width, depth = (np.maximum(values, 1e-3).astype(np.float32) for values in shape(heights))
        step = heights[1] - heights[0]
        slopes = (np.clip(np.gradient(values, step) / values, -30, 30).astype(np.float32) for values in (width, depth))
        return cls(low, high, width, depth, *slopes)

    def row(self, height: Array) -> npt.NDArray[np.intp]:
        """Index into the tables of each height."""
        scaled = (height - self.low) * ((_TABLE - 1) / (self.high - self.low))
        return np.clip(scaled, 0, _TABLE - 1).astype(np.intp)


@dataclass(frozen=True)
class View:
    """The image plane in head units, already rolled, zoomed and shifted: x, y float32[S, S] and the pose's turn."""

    x: Array
    y: Array
    pixel: float
    pose: Pose

    @classmethod
    def of(cls, pose: Pose, *, size: int, half_extent: float, center_y: float) -> View:
        """View of `size` pixels a side onto a square of ``2 * half_extent`` units around (0, `center_y`)."""
        pixel = 2 * half_extent / size / pose.zoom
        ticks = ((np.arange(size, dtype=np.float32) + 0.5) - size / 2) * np.float32(pixel)
        right, up = np.meshgrid(ticks, -ticks)
        right, up = right - pose.shift_x, up - pose.shift_y
        cos, sin = np.float32(np.cos(pose.roll)), np.float32(np.sin(pose.roll))
        return cls(cos * right + sin * up, cos * up - sin * right + np.float32(center_y), pixel, pose)

    def part(self, window: Window) -> View:
        """The same view of the pixels in `window` only."""
        return View(self.x[window], self.y[window], self.pixel, self.pose)

    def gradient(self, values: Array) -> tuple[Array, Array]:
        """Derivatives of an image along the view's x and y, per unit."""
        across, down = np.zeros_like(values), np.zeros_like(values)
        across[:, 1:-1] = values[:, 2:] - values[:, :-2]
        down[1:-1] = values[:-2] - values[2:]
        cos, sin = np.float32(np.cos(self.pose.roll)), np.float32(np.sin(self.pose.roll))
        scale = np.float32(0.5 / self.pixel)
        return (cos * across + sin * down) * scale, (cos * down - sin * across) * scale

    def plane(self, depth: float) -> tuple[Array, Array]:
        """Head coordinates (X, Y) of each pixel on the plane Z = `depth` of the head."""
        pose = self.pose
        x = (self.x - depth * np.float32(np.sin(pose.yaw))) / np.float32(np.cos(pose.yaw))
        z = depth * np.float32(np.cos(pose.yaw)) - x * np.float32(np.sin(pose.yaw))
        return x, (self.y + z * np.float32(np.sin(pose.pitch))) / np.float32(np.cos(pose.pitch))

    def place(self, x: float, y: float, z: float) -> tuple[float, float]:
        """View coordinates of the head point (x, y, z)."""
        pose = self.pose
        depth = z * np.cos(pose.yaw) - x * np.sin(pose.yaw)
        return float(x * np.cos(pose.yaw) + z * np.sin(pose.yaw)), float(
            y * np.cos(pose.pitch) - depth * np.sin(pose.pitch)
        )


@dataclass(frozen=True)
class Surface:
    """Visible point of a head for each pixel: X, Y in head units, `turn` (angle around the axis, 0 in front), `alpha`.

    `normal` is a unit vector float32[3, S, S] in the view's frame.
    """

    x: Array
    y: Array
    turn: Array
    alpha: Array
    normal: Array


def bounds(profile: Profile, view: View) -> Window:
    """Rows and columns of `view` that contain the head of `profile`, with a margin for relief."""
    pose, width, depth = view.pose, float(profile.width.max()), float(profile.depth.max()) + _RELIEF
    across = float(np.hypot(width * np.cos(pose.yaw), depth * np.sin(pose.yaw))) + _MARGIN
    nod = abs(depth * np.sin(pose.pitch)) + _MARGIN
    inside = (np.abs(view.x) < across) & (view.y > profile.low - nod) & (view.y < profile.high + nod)
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def trace(profile: Profile, view: View, relief: Callable[[Array, Array], Array] | None = None) -> Surface:
    """Trace each pixel of `view` to the head of `profile`; `relief(X, Y)` raises the surface toward the viewer.

    The relief moves features under a turn (a nose points sideways) and bends the normals.
    """
    cos, sin = np.float32(np.cos(view.pose.yaw)), np.float32(np.sin(view.pose.yaw))
    nod_cos, nod_sin = np.float32(np.cos(view.pose.pitch)), np.float32(np.sin(view.pose.pitch))
    x, z = view.x, np.float32(0.8) * np.ones_like(view.x)
    for _ in range(_STEPS):
        height = (view.y + z * nod_sin) / nod_cos
        row = profile.row(height)
        width, depth = profile.width[row], profile.depth[row]
        reach = np.sqrt((width * cos) ** 2 + (depth * sin) ** 2)
        turn = np.arcsin(np.clip(x / reach, -1, 1)) - np.arctan2(depth * sin, width * cos)
        side, front = np.sin(turn), np.cos(turn)
        z = depth * front * cos - width * side * sin
        if relief is not None:
            raised = relief(width * side, height)
            x, z = view.x - raised * sin, z + raised * cos
    inside = np.minimum(reach - np.abs(x), (height - profile.low) * np.float32(0.5))
    inside = np.minimum(inside, (profile.high - height) * np.float32(0.5))
    alpha = np.clip(inside / np.float32(1.2 * view.pixel) + np.float32(0.5), 0, 1)
    slope = profile.width_slope[row] * side**2 + profile.depth_slope[row] * front**2
    normal = _turn_normal(np.stack([side / width, -slope, front / depth]), (cos, sin), (nod_cos, nod_sin))
    if relief is not None:
        normal = _bend(normal, *view.gradient(raised))
    return Surface(width * side, height, turn, alpha, normal)


def _turn_normal(normal: Array, yaw: tuple[np.float32, np.float32], pitch: tuple[np.float32, np.float32]) -> Array:
    x = normal[0] * yaw[0] + normal[2] * yaw[1]
    z = normal[2] * yaw[0] - normal[0] * yaw[1]
    y, z = normal[1] * pitch[0] - z * pitch[1], normal[1] * pitch[1] + z * pitch[0]
    return _unit(np.stack([x, y, z]))


def _bend(normal: Array, slope_x: Array, slope_y: Array) -> Array:
    facing = np.clip(normal[2], 0, 1)
    return _unit(np.stack([normal[0] - facing * slope_x, normal[1] - facing * slope_y, normal[2]]))


def _unit(vectors: Array) -> Array:
    return vectors / np.sqrt(np.sum(vectors * vectors, axis=0) + np.float32(1e-9))
