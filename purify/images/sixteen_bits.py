"""Pixels of 16 bits as 8: the upper byte, or the upper 8 of the 10 or 12 bits that a camera has filled.

A file rarely says how many of its 16 bits are in use, so the largest value decides: below 4096 they are 12, below 1024
they are 10, below 256 they are 8.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

_DEPTHS = (8, 10, 12)


def to_eight_bits(values: npt.NDArray[np.integer]) -> npt.NDArray[np.uint8]:
    """Values of up to 16 bits, of any shape, as uint8 of the same brightness."""
    most = int(values.max(initial=0))
    shift = next((bits - 8 for bits in _DEPTHS if most < 1 << bits), 8)
    return (values >> shift).clip(0, 255).astype(np.uint8)


def deep_mode(image: Image.Image) -> str | None:
    """Pillow's raw mode of an image not yet loaded, of several channels with 16 bits each; None for another image."""
    tiles = cast(ImageFile.ImageFile, image).tile
    arguments = tiles[0][3] if len(tiles) == 1 else None
    mode = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return mode if isinstance(mode, str) and mode.endswith((";16B", ";16L")) and image.mode in _CHANNELS else None


#: Color channels of the modes that Pillow reads in both byte orders.
_CHANNELS = {"RGB": 3, "RGBA": 3}


def with_low_bytes(image: Image.Image, reopen: Callable[[], Image.Image], mode: str) -> Image.Image:
    """A loaded image that Pillow has reduced to the upper bytes, with the brightness of 10 or 12 bits restored.

    `reopen` opens it again, `mode` is its `deep_mode`. The lower bytes are read as the upper ones of the other byte
    order, and only from images that look black.
    """
    upper = np.asarray(image)
    colors = _CHANNELS[image.mode]
    if int(upper[..., :colors].max(initial=0)) >= 1 << (_DEPTHS[-1] - 8):
        return image
    again = cast(ImageFile.ImageFile, reopen())
    name, _, order = mode.rpartition(";16")
    swapped = f"{name};16{'L' if order == 'B' else 'B'}"
    tile = again.tile[0]
    again.tile = [tile._replace(args=(swapped, *tile.args[1:]) if isinstance(tile.args, tuple) else swapped)]
    lower = np.asarray(again)
    pixels = lower.copy()  # the alpha channel has full range
    pixels[..., :colors] = to_eight_bits(upper[..., :colors].astype(np.uint16) << 8 | lower[..., :colors])
    pixels[..., colors:] = upper[..., colors:]
    return Image.fromarray(pixels, image.mode)
