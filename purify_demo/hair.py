"""Hair on the head (an outer shell around the skull) and on the face."""

from __future__ import annotations

import numpy as np

from purify_demo.anatomy import Landmarks, shade, shine
from purify_demo.geometry import Profile, Surface, View, bounds, trace
from purify_demo.identity import Hair, Identity
from purify_demo.paint import Array, Color, Layer, edge, grain, lay, linear, ramp, rise
from purify_demo.scene import Cover, Scene

_HAIR = [
    (0.09, 0.075, 0.07),
    (0.2, 0.13, 0.1),
    (0.33, 0.21, 0.14),
    (0.5, 0.27, 0.15),
    (0.55, 0.4, 0.24),
    (0.8, 0.66, 0.42),
]
_GRAY = linear(0.72, 0.71, 0.7)
#: Height that hats are worn at.
HAT_LINE = 0.6
_WRAP = (0.3, 0.3, 0.3)


def hair_color(identity: Identity, tone: float) -> Color:
    """Color of hair of a `tone` in [0, 1], grayed as the person's is."""
    gray = np.float32(0.9 * identity.hair.gray)
    return ramp(_HAIR, tone) * (1 - gray) + _GRAY * gray


def hair_line(hair: Hair, turn: Array) -> Array:
    """Lower end of the hair around the head: high in front, down to its length behind the ears."""
    side, front = np.abs(turn), _front_line(hair, turn)
    temple = rise(side, hair.curtain - 0.26, hair.curtain + 0.06)
    burns = np.float32(max(hair.length, -0.3)) * rise(side, hair.curtain, hair.curtain + 0.18)
    line = front * (1 - temple) + temple * (0.2 + burns)
    return line + (min(hair.length, -0.3) + 0.1) * rise(side, hair.curtain, hair.curtain + 0.25)


def _front_line(hair: Hair, turn: Array) -> Array:
    """The hairline over the forehead, extended around the head."""
    side = np.abs(turn)
    front = hair.line + hair.recession * np.exp(-np.square((side - 0.62) / 0.3)) + 0.05 * np.cos(6 * turn)
    if hair.fringe:
        front = front - hair.fringe * rise(side, 1.15, 0.75) - hair.sweep * np.sin(1.6 * turn)
    else:
        front = front - 0.1 * np.exp(-np.square((turn - hair.part) / 0.35)) * (hair.top > 0.12)
    return front + 2.5 * hair.bald * np.exp(-np.square(side / 0.8))


class HairShell:
    """The hair of a person in a scene: a layer behind the head and one in front."""

    def __init__(self, view: View, identity: Identity, scene: Scene) -> None:
        self._hair, self._scene = identity.hair, scene
        self._color = hair_color(identity, scene.hair_tone)
        wave = (0.012 + 0.05 * identity.hair.curl) * (0.6 + identity.hair.side)
        profile = _shell(identity, scene)
        self._window = bounds(profile, view)
        view = view.part(self._window)
        shake_x, shake_y = (wave * grain(view.x * 34, view.y * 34, 1.0, scene.seed + k) for k in (0, 99))
        self.surface = trace(profile, View(view.x + shake_x, view.y + shake_y, view.pixel, view.pose))
        self._lit = self._light()

    def behind(self) -> Layer:
        """The layer behind head and neck."""
        return Layer(self._lit * 0.6, self.surface.alpha * self._ends(), self._window)

    def front(self) -> Layer:
        """The layer in front."""
        surface = self.surface
        strands = grain(surface.turn * 46, surface.y * 6, 0.5, self._scene.seed)
        over = surface.y - hair_line(self._hair, surface.turn) + 0.03 * strands
        alpha = surface.alpha * self._ends() * edge(over, 0.09) * min(1.0, 0.5 + 4 * self._hair.top)
        if self._scene.cover in (Cover.CAP, Cover.BEANIE):
            alpha = alpha * edge(HAT_LINE + 0.1 - surface.y, 0.1)
        return Layer(self._lit, alpha, self._window)

    def _ends(self) -> Array:
        surface = self.surface
        uneven = 0.06 * grain(surface.turn * 30, 0 * surface.y, 0.6, self._scene.seed)
        return edge(surface.y - min(self._hair.length, -0.22) - uneven, 0.12)

    def shadow(self, head: Surface) -> Array:
        """Share of light on the skin that is left by the hair's shadow."""
        hair, side = self._hair, np.abs(head.turn)
        below = _front_line(hair, head.turn) - head.y
        shade_above = rise(below, 0.16 + 0.3 * hair.top, -0.02)
        shade_beside = rise(side, hair.curtain - 0.4, hair.curtain + 0.35) * hair.covers_ears
        return 1 - 0.42 * np.maximum(shade_above, shade_beside)

    def _light(self) -> Array:
        surface, curl = self.surface, self._hair.curl
        lean = surface.turn - self._hair.part * rise(surface.y, 0.2, 1.2)
        straight = grain(lean * 52, surface.y * 5, 0.55, self._scene.seed)
        curly = grain(surface.turn * 34, surface.y * 34, 0.9, self._scene.seed)
        strands = straight * (1 - curl) + curly * curl
        albedo = self._color * np.clip(0.85 + (0.2 + 0.16 * curl) * strands, 0.25, 1.6)
        lit = shade(albedo, surface.normal, self._scene.light, wrap=_WRAP)
        gleam = shine(surface.normal, self._scene.light, 14) * np.clip(0.5 + 0.4 * strands, 0, 1) * (1 - 0.7 * curl)
        return lit + (0.06 + 0.5 * self._color) * gleam * np.float32(0.6)


def _shell(identity: Identity, scene: Scene) -> Profile:
    head, hair = identity.head, identity.hair
    top, side = hair.top * scene.hair_volume, hair.side * scene.hair_volume
    crown, low = head.crown + top, min(hair.length, -0.35) - 0.4

    def shape(heights: Array) -> tuple[Array, Array]:
        skull = np.clip((heights + 0.05) / (crown + 0.05), 0, 1)
        hanging = np.clip((-0.05 - heights) / (-0.05 - low), 0, 1)
        outline = np.sqrt(1 - skull ** (2.8 + hair.top)) * np.sqrt(1 - hanging**8)
        inward = 1 - 0.12 * hanging * (hair.length > -0.8)
        return (head.cheek + 0.02 + side) * outline * inward, (head.depth + 0.03 + 0.5 * side) * outline

    return Profile.tabulate(low, crown, shape)


def paint_beard(albedo: Array, surface: Surface, identity: Identity, scene: Scene, marks: Landmarks) -> None:
    """Mustache, beard and stubble, as darkening hair on the skin."""
    beard, x, y = identity.beard, surface.x, surface.y
    stubble = beard.stubble * scene.stubble
    if max(beard.mustache, beard.chin, beard.cheeks, stubble) <= 0:
        return
    side, mouth = np.abs(x), marks.mouth
    lips = identity.mouth
    around = rise(side, marks.mouth_width * 1.2, marks.mouth_width * 0.9)
    lip_top = mouth + lips.upper + 0.01 + 0.12 * scene.expression.smile * np.square(side / marks.mouth_width)
    mustache = edge(np.minimum(y - lip_top, identity.nose.tip - 0.1 - y - 0.3 * side**2), 0.08) * around
    below = mouth - lips.lower - 0.05 - 0.2 * scene.expression.open
    chin = edge(below - y - 0.1 * np.exp(-np.square(side / 0.12)), 0.08) * rise(side, 0.42, 0.28)
    corner = edge(0.07 - np.abs(side - marks.mouth_width * 1.12), 0.06) * edge(
        np.minimum(identity.nose.tip - 0.16 - y, y - below), 0.06
    )
    line = -0.1 - 0.75 * rise(side, 0.95, 0.3)
    cheeks = edge(line - y, 0.14) * (1 - around * (y > below))
    hairs = np.clip(0.9 + 0.16 * grain(x * 70, y * 35, 0.7, scene.seed), 0, 1)
    cover = np.maximum(beard.mustache * mustache, beard.chin * np.maximum(chin, corner * (beard.mustache > 0.2)))
    cover = np.maximum(cover, beard.cheeks * cheeks)
    everywhere = np.maximum(np.maximum(mustache, chin), cheeks) * np.float32(0.45 * stubble)
    cover = np.maximum(np.clip(1.3 * cover, 0, 0.95), everywhere)
    lay(albedo, hair_color(identity, identity.hair.tone) * 0.85, cover * hairs)
