"""Whether two files show one picture, by their pixels: a check on what embeddings alone say.

Small gray copies of both, without their brightness and contrast, are correlated. Of LFW's aligned faces (112 pixels),
877 pairs of other pictures of one person had at most 0.969; copies that were re-encoded, resized, or changed in
brightness, contrast or to gray had 0.977 or more. A copy that was cropped otherwise is not recognized.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from purify.arrays import Vectors
from purify.images.decoding import decode_rgb, decode_upright

#: Least correlation of two copies of a picture.
SAME_PIXELS = 0.97
_SIDE = 16
_TINY = 1e-6


def outline(data: bytes) -> Vectors:
    """Gray copy [256] of an image's central square, centered and of unit length; zeros for a plain surface.

    UnreadableImageError if the bytes can't be decoded.
    """
    gray = decode_rgb(data, _SIDE).mean(axis=2, dtype=np.float32).ravel()
    gray -= gray.mean()
    length = float(np.linalg.norm(gray))
    return gray / length if length > _TINY else np.zeros_like(gray)


def same_pixels(first: bytes, second: bytes) -> bool:
    """Whether two images show one picture; UnreadableImageError if one can't be decoded."""
    return first == second or float(outline(first) @ outline(second)) >= SAME_PIXELS


def pixel_digest(data: bytes) -> str:
    """Hex SHA-256 of an image's decoded, upright pixels: equal for copies in any lossless form.

    UnreadableImageError if the bytes can't be decoded.
    """
    return decoded_digest(decode_upright(data))


def decoded_digest(pixels: npt.NDArray[np.uint8]) -> str:
    """The same of ``pixels[H, W, 3]`` in RGB."""
    return hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).hexdigest()
