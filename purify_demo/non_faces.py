"""Images without a face, as web searches return them: landscapes, slides of text, emblems, charts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

_SIDE = 144
_WORDS = ("breaking", "news", "top 10", "awards", "official", "poster", "quotes", "fan page", "tickets", "biography")

_Color = tuple[int, int, int]


def draw_non_face(rng: np.random.Generator) -> Image.Image:
    """A small picture without a face."""
    kind = _KINDS[int(rng.integers(len(_KINDS)))]
    image = kind(rng).filter(ImageFilter.GaussianBlur(float(rng.uniform(0, 1.2))))
    side = int(rng.integers(64, 113))
    return image.resize((side, side), Image.Resampling.BICUBIC)


def _color(rng: np.random.Generator, low: int = 20, high: int = 235) -> _Color:
    red, green, blue = rng.integers(low, high, 3).tolist()
    return red, green, blue


def _canvas(rng: np.random.Generator) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """A canvas with a gradient from one color to another."""
    top, bottom = np.array(_color(rng)), np.array(_color(rng))
    share = np.linspace(0, 1, _SIDE)[:, None, None]
    pixels = np.broadcast_to(top * (1 - share) + bottom * share, (_SIDE, _SIDE, 3))
    image = Image.fromarray(np.ascontiguousarray(pixels.astype(np.uint8)))
    return image, ImageDraw.Draw(image)


def _landscape(rng: np.random.Generator) -> Image.Image:
    image, draw = _canvas(rng)
    x, y = rng.integers(20, 120, 2).tolist()
    draw.ellipse((x - 10, y // 2 - 10, x + 10, y // 2 + 10), fill=(250, 235, 180))
    for depth in range(3):
        phase, height = rng.uniform(0, 6), 60 + 25 * depth
        ridge = [
            (i, height + 12 * np.sin(i / (14 + 6 * depth) + phase) + 5 * np.sin(i / 5 + phase))
            for i in range(0, _SIDE + 1, 3)
        ]
        draw.polygon([*ridge, (_SIDE, _SIDE), (0, _SIDE)], fill=_color(rng, 20, 150 - 35 * depth))
    return image


def _slide(rng: np.random.Generator) -> Image.Image:
    image, draw = _canvas(rng)
    draw.rectangle((0, 0, _SIDE, int(rng.integers(20, 50))), fill=_color(rng))
    ink = _color(rng, 200, 255) if rng.random() < 0.5 else _color(rng, 0, 60)
    for line in range(int(rng.integers(3, 6))):
        size = int(rng.integers(11, 24))
        text = _WORDS[int(rng.integers(len(_WORDS)))].upper()
        draw.text((6, 10 + 25 * line), text, fill=ink, font=ImageFont.load_default(size))
    return image


def _emblem(rng: np.random.Generator) -> Image.Image:
    image, draw = _canvas(rng)
    for ring in range(int(rng.integers(2, 5))):
        inset = 16 + 13 * ring
        box = (inset, inset, _SIDE - inset, _SIDE - inset)
        if rng.random() < 0.5:
            draw.ellipse(box, fill=_color(rng))
        else:
            draw.regular_polygon((_SIDE / 2, _SIDE / 2, _SIDE / 2 - inset), int(rng.integers(3, 8)), fill=_color(rng))
    return image


def _chart(rng: np.random.Generator) -> Image.Image:
    image, draw = _canvas(rng)
    draw.rectangle((8, 8, _SIDE - 8, _SIDE - 8), fill=(245, 245, 240))
    ink = _color(rng)
    for i, height in enumerate(rng.integers(15, 110, 8).tolist()):
        draw.rectangle((16 + 14 * i, _SIDE - 14 - height, 25 + 14 * i, _SIDE - 14), fill=ink)
    return image


_KINDS: tuple[Callable[[np.random.Generator], Image.Image], ...] = (_landscape, _slide, _emblem, _chart)
