"""A look at a few images: photos that were given for crops would be judged by their backgrounds."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pyarrow as pa

from purify.arrays import Ids
from purify.errors import PurifyError
from purify.faces.packaged_models import faces_installed, frontal_detector
from purify.images.decoding import decode_rgb
from purify.storage.image_bytes import ImageByteReader
from purify.tables.manifest import ok_rows

#: Passes over a manifest (of its columns, those that are `CHECKED`), a block at a time.
Blocks = Callable[[], Iterable[pa.Table]]
CHECKED = ("uri", "width", "height", "status")
#: How the warning begins, to be known again in ``run.json``.
UNCROPPED = "the images look like photos, not like aligned crops of faces"
_REMEDY = "give --align, which finds, aligns and crops the faces, or crop them first"
_SAMPLE = 24
#: Sides whose ratio is larger are no square.
_SQUARE = 1.15
#: Side of the copies searched for faces, which are found from a quarter of it on.
_SIDE = 320
#: A face in a crop to the template takes 0.7 of its width and more, by dlib's box; in LFW's originals 0.4.
_LEAST_WIDTH = 0.55
_LEAST_FACES = 6


def uncropped_warning(manifest: Blocks) -> str | None:
    """A warning that the images of a manifest are photos, with the remedy; None if they don't look so."""
    why = why_uncropped(manifest)
    return None if why is None else f"{UNCROPPED}: {why}; {_REMEDY}"


def why_uncropped(manifest: Blocks) -> str | None:
    """Why the images of a manifest look like photos rather than crops; None if they don't.

    By their shape: crops are square. With the extra ``faces`` by the faces in a sample, too: in a crop they fill it.
    """
    count = oblong = 0
    for rows in map(ok_rows, manifest()):
        if rows["uri"].null_count:
            return None
        width, height = (rows[name].to_numpy().astype(float) for name in ("width", "height"))
        oblong += int((np.maximum(width, height) > _SQUARE * np.minimum(width, height)).sum())
        count += len(rows)
    if count < _LEAST_FACES:
        return None
    if oblong > 0.5 * count:
        return f"{oblong:,} of {count:,} are not square"
    if not faces_installed():
        return None
    places = np.unique(np.linspace(0, count - 1, _SAMPLE).astype(int))
    shares = _face_widths(_uris(manifest(), places))
    if len(shares) < max(_LEAST_FACES, len(places) / 3) or np.median(shares) >= _LEAST_WIDTH:
        return None
    return f"in a sample of {len(places)}, faces take {np.median(shares):.0%} of the width"


def _uris(manifest: Iterable[pa.Table], places: Ids) -> list[str]:
    """Uris of the usable images with these numbers, in order."""
    uris, start = [], 0
    for rows in map(ok_rows, manifest):
        inside = places[(places >= start) & (places < start + len(rows))] - start
        uris += rows["uri"].take(pa.array(inside)).to_pylist()
        start += len(rows)
    return uris


def _face_widths(uris: list[str]) -> list[float]:
    """Width of the largest face in each image that shows one, as a share of the image's."""
    detector, shares = frontal_detector(), []
    with ImageByteReader() as reader:
        for uri in uris:
            try:
                boxes = detector(decode_rgb(reader.read(uri), _SIDE), 0)
            except (PurifyError, OSError):
                continue
            if len(boxes):
                shares.append(max(box.width() for box in boxes) / _SIDE)
    return shares
