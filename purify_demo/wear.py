"""Accessories and occlusions: glasses, hats, masks, a microphone, a hand, a text banner."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from purify_demo.anatomy import Landmarks, head_profile, shade
from purify_demo.geometry import Profile, View, trace
from purify_demo.hair import HAT_LINE
from purify_demo.identity import Identity
from purify_demo.paint import Array, Color, Layer, bump, edge, ellipse, grain, linear, ramp, rise, segment
from purify_demo.scene import Cover, Scene
from purify_demo.skin import skin_color

_FRAMES = [(0.05, 0.05, 0.06), (0.25, 0.13, 0.08), (0.5, 0.42, 0.3), (0.55, 0.1, 0.12), (0.65, 0.67, 0.7)]
_WORDS = ("LIVE", "BREAKING", "EXCLUSIVE", "SEASON 2", "FILE PHOTO", "INTERVIEW", "PREMIERE", "STOCK", "TV 24")


def paint_glasses(view: View, identity: Identity, scene: Scene, head: Array) -> Iterator[Layer]:
    """Glasses, or sunglasses if the scene has them; the temples lie on the `head`'s coverage only."""
    dark = scene.cover is Cover.SUNGLASSES
    glasses, eyes = identity.glasses, identity.eyes
    x, y = view.plane(identity.head.depth + 0.08)
    reach = max(eyes.x, glasses.width + 0.06)
    width, height = glasses.width, glasses.height * (1.15 if dark else 1.0)
    across, up = (np.abs(x) - reach) / width, (y - eyes.y + 0.02) / height
    power = glasses.power
    lens = (1 - (np.abs(across) ** power + np.abs(up) ** power) ** (1 / power)) * height
    frame = edge(glasses.frame - np.abs(lens), 0.03)
    bridge = edge(glasses.frame * 0.9 - np.abs(y - eyes.y - 0.06), 0.03) * (np.abs(x) < reach - width * 0.9)
    temple = edge(glasses.frame - np.abs(y - eyes.y - 0.04), 0.03) * (np.abs(x) > reach + width) * head
    inside = edge(lens, 0.03)
    tone = ramp(_FRAMES, glasses.tone)
    gleam = bump(across + 0.6 * up, up, (-0.4, 0.3), (0.22, 0.8))
    if dark:
        yield Layer(linear(0.07, 0.06, 0.06) + 0.35 * gleam * linear(0.6, 0.7, 0.8) + 0 * lens, 0.96 * inside)
    else:
        yield Layer(
            np.ones((3, *lens.shape), np.float32),
            0.04 * inside + 0.3 * gleam * inside * max(scene.light.direction[1], 0),
        )
    yield Layer(tone * (0.8 + 0.5 * rise(up, -1, 1)), np.maximum(frame, np.maximum(bridge, temple)))


def paint_cover(
    view: View, identity: Identity, scene: Scene, marks: Landmarks, rng: np.random.Generator
) -> Iterator[Layer]:
    """The layers of the scene's cover, back to front."""
    painter = _PAINTERS.get(scene.cover)
    return iter(()) if painter is None else painter(view, identity, scene, marks, rng)


def _hat(view: View, identity: Identity, scene: Scene, _marks: Landmarks, rng: np.random.Generator) -> Iterator[Layer]:
    head, hair = identity.head, identity.hair
    crown, side = head.crown + 0.12 + 0.3 * hair.top, head.cheek + 0.05 + 0.2 * hair.side

    def shape(heights: Array) -> tuple[Array, Array]:
        skull = np.clip(heights / crown, 0, 1)
        return side * np.sqrt(1 - skull**2.8), (head.depth + 0.06) * np.sqrt(1 - skull**2.8)

    shell = trace(Profile.tabulate(-0.2, crown, shape), view)
    color = _cloth(rng)
    knit = scene.cover is Cover.BEANIE
    weave = np.sin(shell.turn * 60) * 0.12 if knit else 0.05 * grain(shell.turn * 40, shell.y * 40, 0.5, scene.seed)
    low = HAT_LINE - 0.04 if knit else HAT_LINE
    line = low + 0.1 * np.cos(shell.turn)
    lit = shade(color * (1 + weave), shell.normal, scene.light)
    if knit:
        lit = lit * (1 - 0.25 * edge(line + 0.26 - shell.y, 0.04))
    yield Layer(lit, shell.alpha * edge(shell.y - line, 0.04))
    if not knit:
        center = view.place(0.0, low + 0.06, head.depth + 0.25)
        brim = ellipse(view.x, view.y + 0.14 * np.square(view.x - center[0]), center, (0.86 * head.cheek, 0.17))
        yield Layer(
            lit * 0 + color * (0.35 + 0.5 * scene.light.key[1]) * (0.7 + 0.6 * rise(view.y - center[1], -0.15, 0.15)),
            edge(brim, 0.04),
        )


def _mask(view: View, identity: Identity, scene: Scene, marks: Landmarks, rng: np.random.Generator) -> Iterator[Layer]:
    skin = trace(head_profile(identity, marks.chin), view)
    top = identity.nose.tip + 0.26 - 0.2 * np.square(skin.x)
    pleats = 1 - 0.12 * (np.sin(skin.y * 26) > 0.6)
    color = linear(0.62, 0.8, 0.88) if rng.uniform() < 0.7 else linear(0.12, 0.12, 0.13)
    yield Layer(
        shade(color * pleats, skin.normal, scene.light),
        skin.alpha * edge(top - skin.y, 0.04) * rise(np.abs(skin.x), 1.0, 0.9),
    )


def _microphone(
    view: View, _identity: Identity, scene: Scene, marks: Landmarks, rng: np.random.Generator
) -> Iterator[Layer]:
    x, y = rng.uniform(-0.55, 0.55), marks.chin + rng.uniform(-0.02, 0.3)
    foot = (x + rng.uniform(-0.5, 0.5), y - 2.0)
    handle = edge(np.float32(0.1) - segment(view.x, view.y, (x, y), foot), 0.03)
    yield Layer(np.broadcast_to(linear(0.14, 0.14, 0.15), (3, *view.x.shape)) * (0.6 + scene.light.key[1]), handle)
    ball = ellipse(view.x, view.y, (x, y), (0.25, 0.28))
    mesh = 0.75 + 0.35 * np.sin(view.x * 70) * np.sin(view.y * 70)
    round_light = 0.5 + 1.4 * bump(view.x, view.y, (x + 0.1 * scene.light.direction[0], y + 0.1), (0.16, 0.16))
    yield Layer(linear(0.3, 0.3, 0.31) * mesh * round_light, edge(ball, 0.04))


def _hand(view: View, identity: Identity, scene: Scene, marks: Landmarks, rng: np.random.Generator) -> Iterator[Layer]:
    side = 1 if rng.uniform() < 0.5 else -1
    wrist = np.array([side * rng.uniform(0.6, 1.0), marks.chin - 0.9])
    palm = np.array([side * rng.uniform(0.3, 0.62), marks.chin + rng.uniform(0.0, 0.2)])
    parts = [(tuple(wrist), tuple(palm), 0.25)]
    for finger in range(4):
        base = palm + np.array([side * (0.24 - 0.15 * finger), 0.05])
        parts.append((tuple(base), tuple(base + np.array([side * 0.05, 0.46 + 0.05 * (finger in (1, 2))])), 0.085))
    tone = skin_color(identity)
    for start, end, radius in parts:
        distance = np.float32(radius) - segment(view.x, view.y, start, end)
        depth = np.clip(distance / np.float32(radius), 0, 1)
        light = (np.array(scene.light.key, np.float32) + np.array(scene.light.fill, np.float32)).reshape(3, 1, 1)
        yield Layer(tone * light * (0.42 + 0.5 * np.sqrt(depth)), edge(distance, 0.03))


def paint_banner(size: int, rng: np.random.Generator) -> Layer:
    """Text over a photo of `size` pixels a side: a lower third, or a watermark."""
    picture = Image.new("RGBA", (size, size), (0, 0, 0, 0))
    draw = ImageDraw.Draw(picture)
    words = str(rng.choice(_WORDS))
    font = ImageFont.load_default(size=int(rng.integers(size // 10, size // 5)))
    if rng.uniform() < 0.5:  # a lower third
        top = int(size * rng.uniform(0.72, 0.84))
        draw.rectangle((0, top, size, size), fill=(*(int(v) for v in rng.integers(0, 200, 3)), 235))
        draw.text((size * 0.06, top + 2), words, font=font, fill=(255, 255, 255, 255))
    else:  # a watermark
        for row in range(3):
            draw.text(
                (size * rng.uniform(-0.1, 0.4), size * (0.1 + 0.3 * row)), words, font=font, fill=(255, 255, 255, 120)
            )
    pixels = np.asarray(picture, np.float32).transpose(2, 0, 1) / 255
    return Layer(np.square(pixels[:3]), pixels[3])


def _cloth(rng: np.random.Generator) -> Color:
    return linear(*np.clip(rng.uniform(0.1, 0.8) + rng.normal(0, 0.16, 3), 0.04, 0.95))


_Painter = Callable[[View, Identity, Scene, Landmarks, np.random.Generator], Iterator[Layer]]
_PAINTERS: Mapping[Cover, _Painter] = {
    Cover.CAP: _hat,
    Cover.BEANIE: _hat,
    Cover.MASK: _mask,
    Cover.MICROPHONE: _microphone,
    Cover.HAND: _hand,
}
