"""Images of verification pairs that a model was trained on, under whatever ids, names and forms."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pyarrow as pa
import pyarrow.compute as pc

from purify.errors import InputError
from purify.evaluation.unseen_pairs import SeenBy
from purify.images.defects import UnreadableImageError
from purify.images.loading import resolve_workers
from purify.images.same_pixels import decoded_digest, pixel_digest
from purify.ingest.image_roots import ImageRoots
from purify.storage.files import read_table
from purify.storage.image_bytes import ImageByteReader
from purify.storage.locations import Location
from purify.tables.schema import SHARED_PEOPLE, SHARED_PICTURES
from purify.tables.verification_bins import BinImage

#: Most training images that are decoded for a comparison of pixels; a training decodes each of them many times.
MOST_DECODED = 1_000_000
_AT_ONCE = 4096

#: Columns of a face's photo and of its crop, or of an image that was not aligned.
_PHOTO_COLUMNS = (("photo_uri", "uri"), ("photo_sha256", "sha256"))


def seen_in_training(
    names: Sequence[str], roots: ImageRoots, rows: pa.Table, *, pixels: bool = True
) -> dict[str, SeenBy]:
    """Those of `names`, images of pairs in the `roots`, that are among the training images, and how that is known.

    `rows` are the manifest's rows of the training images. An image is known by its id, by its uri, by its bytes, or,
    with `pixels` and up to `MOST_DECODED` training images, by its decoded pixels: a copy saved in another lossless form
    or with other metadata. That of a face is the photo that shows it. Images that can't be read are refused later.
    """
    rows = _of_photos(rows)
    ids, places = set(rows["sample_id"].to_pylist()), set(rows["uri"].to_pylist()) - {None}
    uris = {name: uri for name in names if (uri := roots.resolve(name)) is not None}
    seen = {name: SeenBy.PATH for name in names if name in ids}
    seen |= {name: SeenBy.URI for name, uri in uris.items() if name not in seen and uri in places}
    digests = set(rows["sha256"].to_pylist()) - {None}
    others = {name: uri for name, uri in uris.items() if name not in seen}
    if digests:
        found = dict(_digests(others.values(), _sha256))
        seen |= {name: SeenBy.BYTES for name, uri in others.items() if found.get(uri) in digests}
    if pixels and len(rows) <= MOST_DECODED:
        seen |= _same_pixels({name: uri for name, uri in others.items() if name not in seen}, places)
    return seen


def seen_pictures(pictures: Mapping[str, BinImage], rows: pa.Table) -> dict[str, SeenBy]:
    """The same for pictures that have no place of their own, such as those of a ``.bin``: by bytes, else by pixels."""
    rows = _of_photos(rows)
    digests = set(rows["sha256"].to_pylist()) - {None}
    encoded = {name: _sha256(image) for name, image in pictures.items() if isinstance(image, bytes)}
    seen = {name: SeenBy.BYTES for name, digest in encoded.items() if digest in digests}
    if len(rows) > MOST_DECODED:
        return seen
    wanted: dict[str, list[str]] = {}
    for name, image in pictures.items():
        with suppress(UnreadableImageError):
            if name not in seen:
                wanted.setdefault(_pixels_of(image), []).append(name)
    training = _digests(set(rows["uri"].to_pylist()) - {None}, pixel_digest)
    known = {digest for _, digest in training if digest in wanted} if wanted else set()
    return seen | {name: SeenBy.PIXELS for digest in known for name in wanted[digest]}


def _pixels_of(image: BinImage) -> str:
    return pixel_digest(image) if isinstance(image, bytes) else decoded_digest(image)


def _of_photos(rows: pa.Table) -> pa.Table:
    """Columns ``sample_id``, ``uri`` and ``sha256`` of the images as they came, photos in place of crops."""
    uri, sha256 = (pc.coalesce(rows[photo], rows[name]) for photo, name in _PHOTO_COLUMNS)
    return pa.table({"sample_id": rows["sample_id"], "uri": uri, "sha256": sha256})


def shared_by_face(overlap: Location) -> set[str]:
    """People (labels) and images (ids) that `purify overlap` found in both sets, from the folder that it wrote.

    InputError if it has written none there.
    """
    try:
        people, pictures = (
            read_table(overlap / f"{name}.parquet", schema)
            for name, schema in (("people", SHARED_PEOPLE), ("pictures", SHARED_PICTURES))
        )
    except InputError as error:
        raise InputError(f"{error}; give the folder that `purify overlap` has written") from error
    columns = [*(people[f"label_{side}"] for side in "ab"), *(pictures[f"sample_id_{side}"] for side in "ab")]
    return {value for column in columns for value in column.to_pylist()}


def _same_pixels(others: Mapping[str, str], training: Iterable[str]) -> dict[str, SeenBy]:
    """Those of `others` (name -> uri) with the pixels of a training image."""
    wanted: dict[str, list[str]] = {}
    for uri, digest in _digests(others.values(), pixel_digest):
        wanted.setdefault(digest, []).append(uri)
    known = {digest for _, digest in _digests(training, pixel_digest) if digest in wanted} if wanted else set()
    same = {uri for digest in known for uri in wanted[digest]}
    return {name: SeenBy.PIXELS for name, uri in others.items() if uri in same}


def _digests(uris: Iterable[str], digest: Callable[[bytes], str]) -> Iterator[tuple[str, str]]:
    """Digest of each image that can be read, in several threads."""
    places = sorted(set(uris))
    with ImageByteReader() as reader, ThreadPoolExecutor(resolve_workers(0)) as pool:

        def one(uri: str) -> str | None:
            with suppress(OSError, InputError, UnreadableImageError):
                return digest(reader.read(uri))
            return None

        for start in range(0, len(places), _AT_ONCE):
            part = places[start : start + _AT_ONCE]
            yield from ((uri, value) for uri, value in zip(part, pool.map(one, part), strict=True) if value is not None)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
