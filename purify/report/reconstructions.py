"""Pictures of reconstructed faces: files that say what they are, and the grid of all of them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.PngImagePlugin import PngInfo

Pixels = npt.NDArray[np.uint8]

#: Files of an inversion's folder, beside the images.
TABLE, GRID = "inversions.parquet", "grid.png"
NOTICE = "Reconstructed from the weights of a face recognition network. Not a photo of anybody."
_WATERMARK = "SYNTHETIC"
#: Rows of the letters, 3 x 5 pixels each.
_LETTERS = {
    "S": ("###", "#..", "###", "..#", "###"),
    "Y": ("#.#", "#.#", ".#.", ".#.", ".#."),
    "N": ("##.", "#.#", "#.#", "#.#", "#.#"),
    "T": ("###", ".#.", ".#.", ".#.", ".#."),
    "H": ("#.#", "#.#", "###", "#.#", "#.#"),
    "E": ("###", "#..", "##.", "#..", "###"),
    "I": ("###", ".#.", ".#.", ".#.", "###"),
    "C": ("###", "#..", "#..", "#..", "###"),
}
_INK, _GROUND = (255, 255, 255), (160, 30, 30)
_GRID_SIDE = 96
_GRID_GAP = 4
_GRID_COLUMNS = 8


def png_file(pixels: Pixels, *, about: Mapping[str, str], watermark: bool) -> bytes:
    """A PNG file of ``pixels[3, S, S]`` with the entries `about` in its metadata.

    With `watermark`, a band below the face says SYNTHETIC; the face itself stays as it is.
    """
    face = np.moveaxis(pixels, 0, 2)
    if watermark:
        face = np.concatenate([face, _band(face.shape[1])])
    info = PngInfo()
    for name, text in {"Description": NOTICE, **about}.items():
        info.add_itxt(name, text)
    buffer = io.BytesIO()
    Image.fromarray(face).save(buffer, format="PNG", pnginfo=info)
    return buffer.getvalue()


def grid_file(faces: Sequence[Pixels], *, watermark: bool) -> bytes:
    """A PNG file of all ``faces[3, S, S]`` in rows, in their order."""
    columns = max(1, min(_GRID_COLUMNS, len(faces)))
    step = _GRID_SIDE + _GRID_GAP
    width, height = columns * step + _GRID_GAP, -(-len(faces) // columns) * step + _GRID_GAP
    sheet = Image.new("RGB", (width, height), "white")
    for number, face in enumerate(faces):
        row, column = divmod(number, columns)
        picture = Image.fromarray(np.moveaxis(face, 0, 2)).resize((_GRID_SIDE, _GRID_SIDE), Image.Resampling.BICUBIC)
        sheet.paste(picture, (column * step + _GRID_GAP, row * step + _GRID_GAP))
    return png_file(np.moveaxis(np.asarray(sheet), 2, 0), about={}, watermark=watermark)


def face_of(path_bytes: bytes) -> Pixels:
    """The face ``[3, S, S]`` in a file of `png_file`, without its watermark."""
    with Image.open(io.BytesIO(path_bytes)) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    return np.moveaxis(pixels[: pixels.shape[1]], 2, 0)


def _band(width: int) -> Pixels:
    """The watermark, ``[height, width, 3]``, its letters as large as fit."""
    text = np.array([list(".".join(_LETTERS[letter][row] for letter in _WATERMARK)) for row in range(5)]) == "#"
    factor = max(1, min(4, width // (text.shape[1] + 2)))
    large = text.repeat(factor, axis=0).repeat(factor, axis=1)[:, :width]
    band = np.full((large.shape[0] + 2 * factor, width, 3), _GROUND, np.uint8)
    left = (width - large.shape[1]) // 2
    band[factor : factor + large.shape[0], left : left + large.shape[1]][large] = _INK
    return band
