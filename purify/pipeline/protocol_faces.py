"""Faces of a test set as pixels: stored images, images of a ``.bin``, faces aligned by given points, and masks."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from purify.arrays import Floats
from purify.errors import InputError, PurifyError
from purify.faces.augment import view_draws
from purify.faces.masks import MASK_DRAWS, cover_lower_face
from purify.faces.similarity import TEMPLATE_SIDE, crop_face
from purify.images.decoding import decode_rgb, decode_upright
from purify.images.loading import AHEAD, resolve_workers
from purify.ingest.image_roots import ImageRoots
from purify.storage.image_bytes import ImageByteReader
from purify.tables.verification_bins import BinImage

Pixels = npt.NDArray[np.uint8]


class TestFaces(Protocol):
    """N faces, by their names."""

    @property
    def names(self) -> Sequence[str]:
        """Their names."""

    @property
    def in_file_order(self) -> bool:
        """Whether they are in the order in which the protocol's files list them, each as often as there."""

    def load(self, row: int, size: int) -> Pixels:
        """Pixels uint8[size, size, 3] of one face; thread safe."""


@dataclass(frozen=True, eq=False)
class StoredFaces:
    """Aligned images in the image roots."""

    names: Sequence[str]
    uris: Sequence[str]
    reader: ImageByteReader
    in_file_order: bool = True

    def load(self, row: int, size: int) -> Pixels:
        """See `TestFaces`; without any uri, no image root was given."""
        return decode_rgb(self.reader.read(_uri(self.uris, row)), size)


@dataclass(frozen=True, eq=False)
class BinFaces:
    """Images of a ``.bin``; their names are their numbers, from 0."""

    names: Sequence[str]
    images: Sequence[BinImage]
    in_file_order: bool = True

    def load(self, row: int, size: int) -> Pixels:
        """See `TestFaces`."""
        image = self.images[row]
        if isinstance(image, bytes):
            return decode_rgb(image, size)
        return image if image.shape[:2] == (size, size) else _resized(image, size)


@dataclass(frozen=True, eq=False)
class PointedFaces:
    """Faces in loosely cropped images, aligned by their ``points[N, 5, 2]`` as IJB's are."""

    names: Sequence[str]
    uris: Sequence[str]
    points: Floats
    reader: ImageByteReader
    in_file_order: bool = True

    def load(self, row: int, size: int) -> Pixels:
        """See `TestFaces`: a crop of the template's size, resized."""
        picture = decode_upright(self.reader.read(_uri(self.uris, row)))
        crop = crop_face(picture, self.points[row], TEMPLATE_SIDE)
        return crop if size == TEMPLATE_SIDE else _resized(crop, size)


def _uri(uris: Sequence[str], row: int) -> str:
    if not uris:
        raise InputError("there are no image roots; give the folder or tar of the images with --images")
    return uris[row]


def find_faces(names: Sequence[str], roots: ImageRoots) -> list[str]:
    """Uris of images in the roots; none without roots. InputError, naming one, if some are missing."""
    if not roots.roots:
        return []
    uris = [roots.resolve(name) for name in names]
    if missing := [name for name, uri in zip(names, uris, strict=True) if uri is None]:
        raise InputError(
            f"{len(missing)} of {len(names)} images are in no image root, such as {missing[0]}; give their folder or "
            "tar with --images"
        )
    return [uri for uri in uris if uri is not None]


def batches(faces: TestFaces, size: int, batch_size: int) -> Iterator[Pixels]:
    """Yield all faces as uint8[n, 3, size, size], decoded by threads in advance; InputError names a bad image."""

    def load(rows: range) -> Pixels:
        return np.stack([_load(faces, row, size) for row in rows])

    parts = (
        range(start, min(start + batch_size, len(faces.names))) for start in range(0, len(faces.names), batch_size)
    )
    with ThreadPoolExecutor(resolve_workers(0), thread_name_prefix="decode") as pool:
        submitted = (pool.submit(load, rows) for rows in parts)
        pending = deque(islice(submitted, AHEAD))
        while pending:
            pixels = pending.popleft().result()
            pending.extend(islice(submitted, 1))
            yield pixels.transpose(0, 3, 1, 2)


def _load(faces: TestFaces, row: int, size: int) -> Pixels:
    try:
        return faces.load(row, size)
    except (OSError, PurifyError, ValueError, SyntaxError) as error:
        raise InputError(f"{faces.names[row]}: can't be read as an image: {error}") from error


def cover(pixels: Pixels, first_row: int, *, seed: int) -> Pixels:
    """``pixels[n, 3, S, S]`` of the faces from `first_row` on, each with a mask of its own over the lower face.

    The masks are those of training (`purify.faces.masks`); a face has the same one in every run with `seed`.
    """
    rows = np.arange(first_row, first_row + len(pixels))
    draws = view_draws(rows, seed=seed, step=0)[:, -MASK_DRAWS:]
    covered = cover_lower_face(torch.from_numpy(np.ascontiguousarray(pixels)).float(), torch.from_numpy(draws.copy()))
    return covered.round().clamp(0, 255).byte().numpy()


def _resized(pixels: Pixels, size: int) -> Pixels:
    return np.array(Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR))
