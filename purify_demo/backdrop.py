"""Background of a head: place, shoulders, neck and ears."""

from __future__ import annotations

import numpy as np

from purify_demo.anatomy import Landmarks, shade
from purify_demo.geometry import View
from purify_demo.identity import Identity
from purify_demo.paint import Array, Color, Layer, box, edge, ellipse, grain, linear, rise
from purify_demo.scene import Scene


def paint_backdrop(size: int, rng: np.random.Generator) -> Array:
    """Blurred place, linear float32[3, size, size]: wall, sky and ground, street, or lights at night."""
    ticks = np.linspace(-1, 1, size, dtype=np.float32)
    x, y = np.meshgrid(ticks, -ticks)
    upper, lower = _color(rng), _color(rng)
    slant = np.float32(rng.uniform(-0.4, 0.4))
    place = lower + (upper - lower) * rise(y + slant * x, -1, 1)
    kind = rng.uniform()
    if kind < 0.3:
        _panels(place, x, y, rng)
    elif kind < 0.55:
        _spots(place, x, y, rng)
    elif kind < 0.7:
        place = place * 0.6 + _color(rng) * 0.5 * edge(
            y - np.float32(rng.uniform(-0.5, 0.4)) + 0.1 * grain(x * 30, 0 * y, 1.5, 5), 0.15
        )
    rough = 0.03 + 0.12 * np.float32(rng.uniform())
    return np.clip(place * (1 + rough * grain(x * 60, y * 60, 1.9, int(rng.integers(2**31)))), 0, 1)


def _color(rng: np.random.Generator) -> Color:
    value, tint = rng.uniform(0.12, 0.95), rng.normal(0, 0.1, 3)
    return linear(*np.clip(value + tint, 0.03, 1))


def _panels(place: Array, x: Array, y: Array, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(2, 7))):
        center, half = rng.uniform(-1.2, 1.2, 2), rng.uniform(0.08, 0.5, 2)
        alpha = edge(box(x, y, tuple(center), tuple(half)), rng.uniform(0.03, 0.25)) * rng.uniform(0.4, 1)
        place += alpha * (_color(rng) - place)


def _spots(place: Array, x: Array, y: Array, rng: np.random.Generator) -> None:
    place *= 0.55
    for _ in range(int(rng.integers(5, 16))):
        radius = rng.uniform(0.06, 0.3)
        alpha = edge(ellipse(x, y, tuple(rng.uniform(-1.1, 1.1, 2)), (radius, radius)), 0.1) * rng.uniform(0.2, 0.8)
        place += alpha * (_color(rng) * 1.1 - place)


def paint_body(view: View, skin: Color, scene: Scene, marks: Landmarks, rng: np.random.Generator) -> Layer:
    """Neck and clothed shoulders."""
    lean = 0.5 * view.pose.yaw
    x, y = view.x - np.float32(0.2 * np.sin(lean)), view.y - np.float32(marks.chin)
    half_neck = np.float32(rng.uniform(0.42, 0.54))
    neck = edge(half_neck + 0.12 * np.square(np.clip(-y - 0.2, 0, None)) - np.abs(x), 0.05) * (y < 0.8)
    slope, collar = rng.uniform(0.25, 0.6), rng.uniform(0.08, 0.24)
    shoulders = -collar - slope * np.clip(np.abs(x) - half_neck, 0, None) - y
    neckline = edge(
        shoulders + np.float32(rng.uniform(0, 0.9)) * (np.abs(x) - half_neck) * (np.abs(x) < half_neck), 0.05
    )
    bend = np.clip(x / 1.2, -0.9, 0.9)
    normal = np.stack([bend, 0.25 + 0 * x, np.sqrt(1 - bend**2)])
    color = np.broadcast_to(skin, normal.shape) * (1 - 0.45 * rise(y, -0.3, 0.02))
    cloth = _color(rng) * (1 + 0.1 * grain(x * 50, y * 50, 1.0, scene.seed))
    if rng.uniform() < 0.25:
        cloth = np.where(np.sin(y * rng.uniform(15, 40)) > 0.2, cloth, _color(rng))
    if rng.uniform() < 0.2:
        cloth = np.where(np.abs(x) < 0.22 - 0.25 * (y + collar), _color(rng), cloth)
    color = color + neckline * (cloth - color)
    return Layer(shade(color, normal.astype(np.float32), scene.light), np.maximum(neck, edge(shoulders, 0.05)))


def paint_ears(view: View, identity: Identity, skin: Color, scene: Scene) -> Layer:
    """Both ears, partly covered by the head later."""
    head = identity.head
    alpha, color = np.zeros_like(view.x), np.ones((3, *view.x.shape), np.float32)
    for side in (-1, 1):
        center = view.place(side * (head.cheek * 0.97 + head.ear_out * 0.5), -0.16, -0.1)
        half = (0.1 + head.ear_out * abs(np.cos(view.pose.yaw)), head.ear)
        outline = ellipse(view.x, view.y + 0.12 * side * (view.x - center[0]), center, half)
        hollow = ellipse(view.x, view.y, (center[0] - side * 0.02, center[1] + 0.02), (half[0] * 0.55, half[1] * 0.6))
        alpha = np.maximum(alpha, edge(outline, 0.04))
        color *= 1 - 0.45 * edge(hollow, 0.08)
    normal = np.stack([np.clip(view.x, -0.8, 0.8), 0 * view.x, np.sqrt(1 - np.clip(view.x, -0.8, 0.8) ** 2)])
    return Layer(shade(color * skin * linear(0.97, 0.9, 0.88), normal, scene.light), alpha)
