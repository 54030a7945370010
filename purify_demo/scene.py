"""Circumstances of a photo: pose, expression, light, dress, cover, camera."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from purify_demo.identity import Identity

_MAX_YAW, _MAX_PITCH = 0.62, 0.3


class Cover(StrEnum):
    """Occlusion of a part of the face."""

    NOTHING = "nothing"
    CAP = "cap"
    BEANIE = "beanie"
    SUNGLASSES = "sunglasses"
    MICROPHONE = "microphone"
    HAND = "hand"
    MASK = "mask"
    BANNER = "banner"


_COVER_CHANCES = {
    Cover.CAP: 0.018,
    Cover.BEANIE: 0.015,
    Cover.SUNGLASSES: 0.02,
    Cover.MICROPHONE: 0.02,
    Cover.HAND: 0.015,
    Cover.MASK: 0.006,
    Cover.BANNER: 0.03,
}


@dataclass(frozen=True)
class Pose:
    """`yaw` to the viewer's right, `pitch` down and `roll`, in radians; zoom and shift of the crop."""

    yaw: float
    pitch: float
    roll: float
    zoom: float
    shift_x: float
    shift_y: float


@dataclass(frozen=True)
class Expression:
    """`smile` and `open` in [0, 1]; `lids` multiplies the opening of the eyes; gaze in eye widths."""

    smile: float
    open: float
    lids: float
    brow: float
    gaze_x: float
    gaze_y: float


@dataclass(frozen=True)
class Light:
    """Unit vector to the key light, its color, and the colors of fill and rim light (linear RGB)."""

    direction: tuple[float, float, float]
    key: tuple[float, float, float]
    fill: tuple[float, float, float]
    rim: float


@dataclass(frozen=True)
class Camera:
    """Camera settings: exposure, white balance, contrast, blur, noise, size, JPEG quality."""

    side: int
    exposure: float
    balance: tuple[float, float, float]
    contrast: float
    saturation: float
    blur: float
    noise: float
    reduce: float
    quality: int


@dataclass(frozen=True)
class Scene:
    """One photo."""

    pose: Pose
    expression: Expression
    light: Light
    camera: Camera
    cover: Cover
    glasses: bool
    mirrored: bool
    hair_volume: float
    hair_tone: float
    stubble: float
    makeup: float
    seed: int


def sample_scene(rng: np.random.Generator, identity: Identity) -> Scene:
    """Draw the circumstances of one photo of `identity`."""
    u = rng.uniform
    cover = str(
        rng.choice([Cover.NOTHING, *_COVER_CHANCES], p=[1 - sum(_COVER_CHANCES.values()), *_COVER_CHANCES.values()])
    )
    return Scene(
        pose=Pose(
            yaw=float(np.clip(rng.normal(0, 0.3), -_MAX_YAW, _MAX_YAW)),
            pitch=float(np.clip(rng.normal(0, 0.07), -_MAX_PITCH, _MAX_PITCH)),
            roll=rng.normal(0, 0.17),
            zoom=float(np.exp(rng.normal(0, 0.105))),
            shift_x=rng.normal(0, 0.11),
            shift_y=rng.normal(0, 0.11),
        ),
        expression=_expression(rng),
        light=_light(rng),
        camera=_camera(rng, identity.skin.tone),
        cover=Cover(cover),
        glasses=u() < identity.glasses.habit,
        mirrored=u() < 0.5,
        hair_volume=float(np.exp(rng.normal(0, 0.16))),
        hair_tone=u() if u() < 0.05 else identity.hair.tone,
        stubble=max(0.0, u(-0.6, 0.6)),
        makeup=max(0.0, u(-1.0, 1.0)),
        seed=int(rng.integers(2**31)),
    )


def _expression(rng: np.random.Generator) -> Expression:
    u = rng.uniform
    lids = u(0.0, 0.15) if u() < 0.03 else u(0.8, 1.1)
    return Expression(
        smile=max(0.0, u(-0.7, 0.9)),
        open=max(0.0, u(-1.4, 0.8)),
        lids=lids,
        brow=rng.normal(0, 0.025),
        gaze_x=rng.normal(0, 0.14),
        gaze_y=rng.normal(0, 0.07),
    )


def _light(rng: np.random.Generator) -> Light:
    u = rng.uniform
    azimuth, elevation = np.clip(rng.normal(0, 0.6), -1.4, 1.4), u(-0.15, 1.0)
    direction = (
        float(np.sin(azimuth) * np.cos(elevation)),
        float(np.sin(elevation)),
        float(np.cos(azimuth) * np.cos(elevation)),
    )
    strength, fill = u(0.5, 1.0), u(0.2, 0.6)
    return Light(
        direction=direction,
        key=tuple(strength * np.exp(_warmth(rng, 0.09))),
        fill=tuple(fill * np.exp(_warmth(rng, 0.1))),
        rim=max(0.0, u(-0.8, 0.6)),
    )


def _camera(rng: np.random.Generator, skin_tone: float) -> Camera:
    """Exposure is partly automatic: brighter for dark skin."""
    u = rng.uniform
    kind = u()
    saturation = 0.0 if kind < 0.09 else u(0.55, 1.25)
    return Camera(
        side=int(rng.integers(64, 113)),
        exposure=float(np.exp(np.clip(rng.normal(0.15, 0.18), -0.35, 0.6)) * (1 + 0.8 * skin_tone)),
        balance=tuple(np.exp(_warmth(rng, 0.1))),
        contrast=u(0.8, 1.3),
        saturation=saturation,
        blur=max(0.0, u(-4.0, 1.0)),
        noise=max(0.0, u(-0.06, 0.03)),
        reduce=u(0.45, 0.8) if u() < 0.15 else 1.0,
        quality=int(rng.integers(35, 96)),
    )


def _warmth(rng: np.random.Generator, spread: float) -> np.ndarray:
    """Log gains of red, green and blue: mostly along warm-cold, a little along green-magenta."""
    warm, green = rng.normal(0, spread), rng.normal(0, spread / 3)
    return np.array([warm, green, -warm])
