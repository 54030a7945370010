"""Verification sets as the field ships them: ``.bin``, a pickle of images and of which pairs show one person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from purify.errors import InputError
from purify.storage.files import local_file, readable
from purify.storage.locations import Location
from purify.storage.plain_pickles import PlainPickleError, load_plain

#: Bytes of an encoded image, or RGB pixels uint8[H, W, 3].
BinImage = bytes | npt.NDArray[np.uint8]
_EXPECTED = "expected a pickle of a list of images and a list of booleans, half as long"


@dataclass(frozen=True, eq=False)
class BinPairs:
    """P pairs in file order: `images` 2 k and 2 k + 1 are of one person where ``same[k]``."""

    file: str
    images: Sequence[BinImage]
    same: npt.NDArray[np.bool_]


def read_bin(path: Location) -> BinPairs:
    """Read a ``.bin``, written by Python 2 or 3; its images are bytes, or arrays of bytes or of RGB pixels.

    Nothing in the pickle is run: only lists of bytes, arrays of numbers and booleans are admitted
    (`purify.storage.plain_pickles`). InputError, naming the image or pair, for anything else.
    """
    with readable(path):
        data = local_file(path).read_bytes()
    try:
        content = load_plain(data, arrays=True)
    except PlainPickleError as error:
        raise InputError(f"{path}: {error}; {_EXPECTED}") from error
    if not isinstance(content, tuple | list) or len(content) != 2:
        raise InputError(f"{path}: {_EXPECTED}")
    images, same = (list(part) if isinstance(part, list | tuple | np.ndarray) else None for part in content)
    if images is None or same is None or not same or len(images) != 2 * len(same):
        sizes = " and ".join(str(len(part)) if part is not None else "no list" for part in (images, same))
        raise InputError(f"{path}: holds {sizes}; {_EXPECTED}")
    return BinPairs(
        path.name,
        [_image(path, number, image) for number, image in enumerate(images)],
        np.array([_truth(path, number, value) for number, value in enumerate(same)], dtype=bool),
    )


def _image(path: Location, number: int, value: Any) -> BinImage:
    if isinstance(value, bytes) and value:
        return value
    if isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.size:
        if value.ndim == 1:
            return value.tobytes()
        if value.ndim == 3 and value.shape[2] == 3:
            return value
    kind = f"an array {value.dtype}{list(value.shape)}" if isinstance(value, np.ndarray) else type(value).__name__
    raise InputError(f"{path}: image {number} is {kind}, expected the bytes of an image, or pixels uint8[H, W, 3]")


def _truth(path: Location, number: int, value: Any) -> bool:
    if isinstance(value, bool | np.bool_ | int | np.integer) and value in (0, 1):
        return bool(value)
    raise InputError(f"{path}: pair {number} is {type(value).__name__}, expected a boolean")
