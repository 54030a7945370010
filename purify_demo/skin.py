"""Albedo of skin and features, painted in head coordinates."""

from __future__ import annotations

import numpy as np

from purify_demo.anatomy import Landmarks
from purify_demo.geometry import Surface
from purify_demo.identity import Identity
from purify_demo.paint import Array, Color, bump, edge, ellipse, grain, lay, linear, ramp, rise, segment, window
from purify_demo.scene import Scene

_SKIN = [
    (0.98, 0.85, 0.77),
    (0.93, 0.76, 0.65),
    (0.87, 0.67, 0.53),
    (0.75, 0.54, 0.4),
    (0.6, 0.41, 0.3),
    (0.43, 0.29, 0.22),
]
_LIPS = [(0.86, 0.55, 0.52), (0.74, 0.36, 0.36), (0.62, 0.2, 0.24)]
_INSIDE = linear(0.22, 0.07, 0.07)
_TEETH = linear(0.95, 0.93, 0.88)
_SOFT = 0.03


def skin_color(identity: Identity) -> Color:
    """Color of bare skin."""
    warmth = 0.06 * identity.skin.warmth
    return ramp(_SKIN, identity.skin.tone) * np.array([1 + warmth, 1, 1 - warmth], np.float32).reshape(3, 1, 1)


def paint_skin(surface: Surface, identity: Identity, scene: Scene, marks: Landmarks) -> Array:
    """Albedo float32[3, S, S] of skin with its hollows, folds, spots, nose and mouth."""
    x, y = surface.x, surface.y
    mottle = grain(x * 60, y * 60, 1.2, scene.seed)
    albedo = skin_color(identity) * (1 + 0.035 * mottle)
    _redden(albedo, x, y, identity)
    _spots(albedo, x, y, identity)
    albedo *= _hollows(x, y, identity, scene, marks)
    _nose(albedo, x, y, identity)
    _mouth(albedo, x, y, identity, scene, marks)
    return albedo


def _redden(albedo: Array, x: Array, y: Array, identity: Identity) -> None:
    flush = 0.5 * bump(np.abs(x), y, (0.52, -0.36), (0.26, 0.2)) + 0.4 * bump(
        x, y, (0, identity.nose.tip), (0.16, 0.14)
    )
    strength = 0.5 * (1 - 0.6 * identity.skin.tone)
    albedo[1:] *= 1 - strength * 0.5 * flush


def _spots(albedo: Array, x: Array, y: Array, identity: Identity) -> None:
    if identity.skin.freckles:
        where = bump(np.abs(x), y, (0.35, -0.25), (0.4, 0.28))
        dots = rise(grain(x * 46, y * 46, 0.3, 7), 0.9, 1.6) * where * np.float32(0.5 * identity.skin.freckles)
        lay(albedo, skin_color(identity) * linear(0.72, 0.58, 0.5), dots)
    for spot_x, spot_y, radius in identity.skin.moles:
        near = window(x, y, (spot_x, spot_y), (0.1, 0.1))
        if near:
            lay(
                albedo,
                linear(0.25, 0.15, 0.12),
                0.85 * edge(ellipse(x[near], y[near], (spot_x, spot_y), (radius, radius)), _SOFT),
                near,
            )


def _hollows(x: Array, y: Array, identity: Identity, scene: Scene, marks: Landmarks) -> Array:
    """Soft darkening of hollows, and lines of age and smile."""
    side, eyes, nose, age = np.abs(x), identity.eyes, identity.nose, identity.skin.age
    dark = 0.3 * bump(side, y, (eyes.x - 0.06, eyes.y + 0.05), (0.24, 0.13))
    dark += 0.3 * bump(side, y, (0.13, eyes.y + 0.06), (0.09, 0.16))
    dark += 0.34 * bump(x, y, (0, nose.tip - 0.11), (nose.wing * 0.9, 0.045))
    dark += 0.28 * bump(x, y, (0, marks.mouth - 0.07 - identity.mouth.lower), (marks.mouth_width * 0.6, 0.05))
    dark += 0.25 * rise(side, 0.75, 1.1)
    bag = bump(side, y, (eyes.x, eyes.y - eyes.width * eyes.opening * 0.75), (eyes.width, 0.04))
    dark += (0.06 + 0.22 * age) * bag
    fold = segment(side, y, (nose.wing * 1.02, nose.tip + 0.05), (marks.mouth_width * 1.12 + 0.03, marks.mouth + 0.02))
    dark += (0.05 + 0.22 * age + 0.22 * scene.expression.smile) * np.exp(-np.square(fold / np.float32(0.035)))
    lines = np.clip(np.sin((y + 0.06 * x * x) * 50) - 0.55, 0, 1) * bump(x, y, (0, 0.62), (0.45, 0.14))
    dark += np.float32(0.5 * max(0.0, age - 0.4) + 3 * max(0.0, scene.expression.brow)) * lines
    return 1 - np.clip(dark, 0, 0.75)


def _nose(albedo: Array, x: Array, y: Array, identity: Identity) -> None:
    nose = identity.nose
    near = window(x, y, (0, nose.tip), (nose.wing + 0.2, 0.25))
    if not near:
        return
    side, y = np.abs(x[near]), y[near]
    wing = ellipse(side, y, (nose.wing * 0.6, nose.tip), (nose.wing * 0.44, 0.1))
    crease = np.exp(-np.square(wing / np.float32(0.03))) * rise(side, nose.wing * 0.6, nose.wing * 0.95)
    hole = ellipse(
        side, y + 0.25 * (side - nose.wing * 0.45), (nose.wing * 0.45, nose.tip - 0.06), (nose.wing * 0.27, 0.032)
    )
    lay(albedo, skin_color(identity) * linear(0.5, 0.38, 0.36), 0.6 * crease, near)
    lay(albedo, _INSIDE, 0.8 * edge(hole, 0.04), near)


def _mouth(albedo: Array, x: Array, y: Array, identity: Identity, scene: Scene, marks: Landmarks) -> None:
    mouth, face = identity.mouth, scene.expression
    near = window(x, y, (0, marks.mouth), (marks.mouth_width + 0.12, 0.5))
    if not near:
        return
    across = x[near] / np.float32(marks.mouth_width)
    middle = np.clip(1 - across * across, 0, None)
    up = y[near] - marks.mouth - (mouth.corner + 0.12 * face.smile) * across**2 + 0.03 * face.smile
    gap = (0.2 * face.open + 0.09 * face.smile * (face.smile > 0.45)) * np.sqrt(middle)
    bow = 1 + mouth.bow * (
        0.35 * np.exp(-np.square((np.abs(across) - 0.28) / 0.18)) - 0.3 * np.exp(-np.square(across / 0.14))
    )
    stretch = 1 - 0.25 * face.smile
    top = gap * 0.35 + mouth.upper * stretch * bow * middle**0.8
    bottom = -gap * 0.65 - mouth.lower * stretch * middle**0.7
    inside = (np.abs(across) < 1).astype(np.float32)
    lips = edge(np.minimum(top - up, up - bottom), _SOFT) * inside
    tint = ramp(_LIPS, np.clip(mouth.red * 0.6 + 0.5 * scene.makeup, 0, 1)) * (
        1 - 0.5 * identity.skin.tone * mouth.dark
    )
    tint = 0.35 * skin_color(identity) * linear(0.95, 0.7, 0.7) + 0.65 * tint
    upper_shade = np.where(up > 0, np.float32(0.8), np.float32(1.08))
    lay(albedo, tint * upper_shade, 0.9 * lips, near)
    hollow = edge(np.minimum(gap * 0.35 - up, up + gap * 0.65), _SOFT) * (gap > 0.012) * inside
    lay(albedo, _INSIDE, hollow, near)
    teeth = edge(np.minimum(up + gap * 0.28, gap * 0.33 - up), 0.025) * hollow * (np.abs(across) < 0.85)
    lay(albedo, _TEETH * (0.55 + 0.45 * middle), 0.95 * teeth, near)
    line = np.exp(-np.square(np.where(gap > 0.012, top - up - mouth.upper * bow * middle, up) / np.float32(0.018)))
    lay(albedo, _INSIDE * 1.3, 0.75 * line * rise(np.abs(across), 1.1, 0.98), near)
