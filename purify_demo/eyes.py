"""Eyes, lids, lashes and brows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from purify_demo.geometry import Surface
from purify_demo.identity import Identity
from purify_demo.paint import Array, Color, Window, edge, grain, lay, linear, ramp, rise, window
from purify_demo.scene import Scene

_IRIS = [
    (0.2, 0.11, 0.06),
    (0.34, 0.2, 0.1),
    (0.45, 0.33, 0.15),
    (0.36, 0.42, 0.25),
    (0.35, 0.5, 0.6),
    (0.5, 0.56, 0.6),
]
_WHITE = linear(0.93, 0.9, 0.88)
_LASH = linear(0.1, 0.07, 0.06)
_SOFT = 0.09  # in eye widths


@dataclass(frozen=True)
class _EyeFrame:
    """Coordinates of one eye in its half widths, `out` toward the temple and `up`, and its window of pixels."""

    out: Array
    up: Array
    near: Window


def paint_eyes(albedo: Array, surface: Surface, identity: Identity, scene: Scene, hair: Color) -> Array:
    """Paint both eyes and brows into `albedo`; returns the catch lights float32[S, S] to add after shading."""
    sparkle = np.zeros_like(surface.x)
    for side in (-1, 1):
        if frame := _frame(surface, identity, side):
            _paint_eye(albedo, sparkle, frame, identity, scene, side)
        _paint_brow(albedo, surface, identity, scene, hair, side)
    return sparkle


def _frame(surface: Surface, identity: Identity, side: int) -> _EyeFrame | None:
    eyes = identity.eyes
    near = window(surface.x, surface.y, (side * eyes.x, eyes.y), (eyes.width * 1.6, eyes.width * 1.5))
    if near is None:
        return None
    out = (side * surface.x[near] - eyes.x) / np.float32(eyes.width)
    up = (surface.y[near] - eyes.y) / np.float32(eyes.width)
    cos, sin = np.float32(np.cos(eyes.tilt)), np.float32(np.sin(eyes.tilt))
    return _EyeFrame(cos * out + sin * up, cos * up - sin * out, near)


def _paint_eye(albedo: Array, sparkle: Array, frame: _EyeFrame, identity: Identity, scene: Scene, side: int) -> None:
    eyes, face = identity.eyes, scene.expression
    out, up, near = frame.out, frame.up, frame.near
    lens = np.clip(1 - out * out, 0, None)
    opening = eyes.opening * face.lids * (1 - 0.18 * face.smile)
    skew = 1 - 0.22 * out  # the upper lid peaks toward the nose, the lower one toward the temple
    upper = 0.62 * opening * lens**0.75 * skew - 0.04 * (1 - face.lids)
    lower = -0.4 * opening * lens**0.85 * (2 - skew) + 0.25 * (face.lids - 1) * lens * (face.lids < 0.5)
    within = edge(np.minimum(upper - up, up - lower), _SOFT) * (np.abs(out) < 1)
    _shadow_lid(albedo, frame, upper, identity, scene)
    lay(albedo, _WHITE * (0.62 + 0.38 * rise(upper - up, 0.0, 0.35)) * (0.75 + 0.25 * lens), within, near)
    gaze_out, gaze_up = face.gaze_x * side, 0.08 * opening + face.gaze_y
    radius = np.hypot(out - gaze_out, up - gaze_up) * np.float32(1 / eyes.iris_size)
    ring = 0.55 + 0.6 * rise(radius, 0.2, 0.8) - 0.75 * rise(radius, 0.78, 1.0)
    lay(albedo, ramp(_IRIS, eyes.iris) * ring, within * edge(1 - radius, 0.2), near)
    lay(albedo, _LASH * 0.3, within * edge(0.42 - radius, 0.2), near)
    toward = scene.light.direction
    glint = np.hypot(out - gaze_out - 0.2 * side * toward[0] - 0.05, up - gaze_up - 0.1 - 0.12 * toward[1])
    sparkle[near] = np.maximum(sparkle[near], within * edge(0.13 - glint, 0.12))
    lash = 0.05 + 0.07 * eyes.lashes + 0.06 * scene.makeup + 0.05 * np.clip(out, 0, 1)
    lid_line = edge(lash - np.abs(up - upper), _SOFT) * (np.abs(out) < 1.08)
    lay(albedo, _LASH, (0.6 + 0.4 * eyes.lashes) * lid_line, near)
    lay(albedo, _LASH, 0.35 * edge(0.04 - np.abs(up - lower), _SOFT) * (np.abs(out) < 1), near)


def _shadow_lid(albedo: Array, frame: _EyeFrame, upper: Array, identity: Identity, scene: Scene) -> None:
    """The lid above the eye, its crease, and eye shadow."""
    out, up, hood = frame.out, frame.up, identity.eyes.hood
    crease = upper + np.float32(0.34 - 0.2 * hood) * np.clip(1.15 - out * out, 0, 1)
    line = np.exp(-np.square((up - crease) / np.float32(0.07))) * rise(np.abs(out), 1.15, 0.7)
    lid = edge(np.minimum(crease - up, up - upper), 0.15)
    dark = (0.3 + 0.35 * (1 - hood)) * line + (0.1 + 0.45 * scene.makeup * identity.eyes.lashes) * lid
    albedo[(slice(None), *frame.near)] *= 1 - np.clip(dark, 0, 0.8) * np.array([0.8, 0.95, 1.0], np.float32).reshape(
        3, 1, 1
    )


def _paint_brow(albedo: Array, surface: Surface, identity: Identity, scene: Scene, hair: Color, side: int) -> None:
    eyes, brows, face = identity.eyes, identity.brows, scene.expression
    center = eyes.x + brows.shift, eyes.y + brows.rise + face.brow
    near = window(surface.x, surface.y, (side * center[0], center[1]), (brows.length * 1.3, 0.25))
    if near is None:
        return
    out = (side * surface.x[near] - center[0]) / np.float32(brows.length)
    spine = brows.arch * (1 - np.square(out - 0.3)) + brows.tilt * brows.length * out
    up = surface.y[near] - np.float32(center[1]) - spine
    taper = np.clip(1 - 0.55 * np.clip(out + 0.2, 0, None) - 0.5 * np.clip(-0.75 - out, 0, None), 0, 1)
    hairs = 0.8 + 0.22 * grain(out * 16 - up * 90, up * 40 + out * 6, 0.6, scene.seed)
    shape = edge(brows.thickness * taper - np.abs(up), 0.045) * rise(np.abs(out), 1.08, 0.86)
    lay(albedo, hair * 0.7 + _LASH * 0.3, np.clip(shape * hairs * brows.density, 0, 1), near)
