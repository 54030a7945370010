"""Images for a run without their addresses: samples looked up in image roots, for display only."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from purify.errors import InputError
from purify.ingest.image_roots import ImageRoots
from purify.storage.locations import Location


def with_images(manifest: pa.Table, images: Sequence[Location]) -> pa.Table:
    """The manifest (schema `MANIFEST`) with the ``uri`` of every sample found in `images`; others keep theirs.

    Nothing on disk changes: the result is for the report and the review page. `images` are folders or uncompressed
    tars; a ``sample_id`` is a path relative to one of them.

    Raises
    ------
    InputError
        If a root can't be read, or no sample is found in any.
    """
    if not images or not len(manifest):
        return manifest
    roots = ImageRoots(images)
    ids, known = manifest["sample_id"].to_pylist(), manifest["uri"].to_pylist()
    found = [_find(roots, sample_id) for sample_id in ids]
    if not any(found):
        raise InputError(
            f"--images {roots}: no image of this run is there; sample ids, such as {ids[0]!r}, "
            "are looked up as paths relative to each folder or tar"
        )
    uris = [new or old for new, old in zip(found, known, strict=True)]
    place = manifest.schema.get_field_index("uri")
    return manifest.set_column(place, manifest.schema.field("uri"), pa.array(uris, pa.string()))


def _find(roots: ImageRoots, sample_id: str) -> str | None:
    try:
        return roots.resolve(sample_id)
    except InputError:  # leads out of the roots: not shown
        return None
