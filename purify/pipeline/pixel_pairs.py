"""Pairs of images that look the same by their embeddings, compared by their pixels where the images can be read."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from purify.errors import InputError
from purify.images.loading import resolve_workers
from purify.images.same_pixels import same_pixels
from purify.storage.image_bytes import ImageByteReader

#: Uri and SHA-256 of an image, as far as they are known.
PlacedImage = tuple[str | None, str | None]


def compare_pixels(pairs: Sequence[tuple[PlacedImage, PlacedImage]]) -> list[bool | None]:
    """Whether the images of each pair show one picture; None where one can't be read.

    Equal hashes need no reading.
    """
    with ImageByteReader() as reader, ThreadPoolExecutor(resolve_workers(0), "compare") as pool:

        def compare(pair: tuple[PlacedImage, PlacedImage]) -> bool | None:
            (uri, digest), (other_uri, other_digest) = pair
            if digest is not None and digest == other_digest:
                return True
            if uri is None or other_uri is None:
                return None
            try:
                return same_pixels(reader.read(uri), reader.read(other_uri))
            except (OSError, InputError):
                return None

        return list(pool.map(compare, pairs))
