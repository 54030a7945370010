"""Shape of a face: profile, relief and shading."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from purify_demo.geometry import Profile
from purify_demo.identity import Head, Identity
from purify_demo.paint import Array, Color, bump, rise
from purify_demo.scene import Expression, Light

_WIDEST = -0.05
_JAW_DROP = 0.13
#: How far red, green and blue light bleeds past the shadow's edge.
_SKIN_WRAP = (0.42, 0.28, 0.22)


@dataclass(frozen=True)
class Landmarks:
    """Heights that change with the expression: `chin` (below 0) and the `mouth` line; half width of the mouth."""

    chin: float
    mouth: float
    mouth_width: float

    @classmethod
    def of(cls, identity: Identity, expression: Expression) -> Landmarks:
        """Landmarks of a person with an expression."""
        nose, mouth = identity.nose.tip - 0.04, identity.mouth
        line = nose - mouth.drop * (identity.head.chin + nose)
        chin = -identity.head.chin - _JAW_DROP * expression.open
        jaw = float(_half_width(identity.head, np.array(line), chin))
        width = min(mouth.width * (1 + 0.22 * expression.smile - 0.12 * expression.open), 0.66 * jaw)
        return cls(chin=chin, mouth=line, mouth_width=width)


def _half_width(head: Head, heights: Array, chin: float) -> Array:
    """Half width of the head at each height, seen from the front."""
    jaw = np.clip((_WIDEST - heights) / (_WIDEST - chin), 0, 1)
    skull = np.clip((heights - _WIDEST) / (head.crown - _WIDEST), 0, 1)
    return head.cheek * (1 - head.taper * jaw**1.5) * np.sqrt(1 - jaw**head.square) * np.sqrt(1 - skull**2.6)


def head_profile(identity: Identity, chin: float) -> Profile:
    """Profile of skull and jaw; `chin` is the height of its lower end."""
    head = identity.head

    def shape(heights: Array) -> tuple[Array, Array]:
        jaw = np.clip((_WIDEST - heights) / (_WIDEST - chin), 0, 1)
        skull = np.clip((heights - _WIDEST) / (head.crown - _WIDEST), 0, 1)
        depth = (1 - 0.12 * jaw) * np.sqrt(1 - jaw**4) * np.sqrt(1 - skull**2.6)
        return _half_width(head, heights, chin), head.depth * depth

    return Profile.tabulate(chin, head.crown, shape)


def relief(x: Array, y: Array, identity: Identity, expression: Expression, marks: Landmarks) -> Array:
    """Relief of the face over the smooth head at (X, Y), in head units."""
    side, nose, eyes = np.abs(x), identity.nose, identity.eyes
    down = np.clip((np.float32(0.1) - y) / np.float32(0.1 - nose.tip), 0, 1)
    spread = nose.bridge + (nose.width - nose.bridge) * down**2
    ridge = nose.out * (0.12 + 0.88 * down**1.3) + nose.hook * np.sin(down * np.float32(np.pi))
    ends = rise(y, nose.tip - 0.11, nose.tip + 0.02) * rise(y, 0.34, 0.02)
    height = ridge * ends * np.exp(-np.square(x / spread))
    height += 0.3 * nose.out * bump(side, y, (nose.wing * 0.72, nose.tip + 0.01), (nose.wing * 0.4, 0.09))
    height += 0.06 * bump(side, y, (eyes.x, eyes.y + identity.brows.rise), (0.3, 0.1))
    height -= 0.11 * bump(side, y, (eyes.x - 0.02, eyes.y + 0.02), (0.24, 0.15))
    height += 0.05 * bump(side, y, (eyes.x, eyes.y), (eyes.width * 0.8, 0.1))
    cheek = identity.head.cheekbone + 0.07 * expression.smile
    height += cheek * bump(side, y, (0.58, -0.34), (0.26, 0.22))
    height += 0.07 * bump(x, y, (0, marks.mouth), (marks.mouth_width, 0.15))
    height -= 0.05 * bump(x, y, (0, marks.mouth - 0.2), (0.24, 0.07))
    return height + identity.head.chin_bump * bump(x, y, (0, marks.chin + 0.2), (0.22, 0.16))


def shade(albedo: Array, normal: Array, light: Light, *, wrap: tuple[float, float, float] = _SKIN_WRAP) -> Array:
    """Lit color float32[3, S, S]: soft key light, fill from above and in front, and a rim from behind."""
    toward = np.array(light.direction, np.float32)
    facing = np.tensordot(toward, normal, axes=1)
    fill = 0.72 + 0.2 * normal[1] + 0.08 * normal[2]
    rim = light.rim * np.square(np.clip(1 - normal[2], 0, 1)) * (facing < 0.3)
    lit = np.empty_like(normal)
    for channel in range(3):
        key = np.clip((facing + wrap[channel]) * np.float32(1 / (1 + wrap[channel])), 0, None)
        lit[channel] = light.key[channel] * key + light.fill[channel] * fill + rim
    return lit * albedo


def shine(normal: Array, light: Light, power: int) -> Array:
    """Specular highlight float32[S, S] in [0, 1] for a viewer in front; `power` sharpens it."""
    half = np.array(light.direction, np.float32) + np.array([0, 0, 1], np.float32)
    half /= np.linalg.norm(half)
    return np.clip(np.tensordot(half, normal, axes=1), 0, 1) ** power


def key_color(light: Light) -> Color:
    """The key light as a color."""
    return np.array(light.key, np.float32).reshape(3, 1, 1)
