"""Images of verification pairs that a model was trained on, under whatever ids and labels."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc

from purify.ingest.image_roots import ImageRoots
from purify.storage.image_bytes import ImageByteReader
from purify.tables.pairs import person_of

#: Columns of a face's photo and of its crop, or of an image that was not aligned.
_PHOTO_COLUMNS = (("photo_uri", "uri"), ("photo_sha256", "sha256"))


def seen_in_training(names: Sequence[str], roots: ImageRoots, rows: pa.Table) -> tuple[set[str], set[str]]:
    """Those of `names`, images of pairs in the `roots`, that are among the training images, and their people.

    `rows` are the manifest's rows of the training images. An image is known by its uri, or by its bytes; that of a face
    is the photo that shows it. A folder is a person if all of its training images have one label; in a folder of many
    labels it tells nothing.
    """
    rows = _of_photos(rows)
    uris = {name: roots.resolve(name) for name in names}
    label_of_uri = dict(zip(rows["uri"].to_pylist(), rows["label"].to_pylist(), strict=True))
    label_of_bytes = dict(zip(rows["sha256"].to_pylist(), rows["label"].to_pylist(), strict=True))
    labels = {name: label_of_uri[uri] for name, uri in uris.items() if uri in label_of_uri}
    others = {name: uri for name, uri in uris.items() if uri is not None and name not in labels}
    for name, digest in _hashes(others).items():
        if digest in label_of_bytes:
            labels[name] = label_of_bytes[digest]
    return set(labels), _people(labels, label_of_uri)


def _of_photos(rows: pa.Table) -> pa.Table:
    """Columns ``uri``, ``sha256`` and ``label`` of the images as they came, photos in place of crops."""
    uri, sha256 = (pc.coalesce(rows[photo], rows[name]) for photo, name in _PHOTO_COLUMNS)
    return pa.table({"uri": uri, "sha256": sha256, "label": rows["label"]})


def _hashes(uris: dict[str, str]) -> dict[str, str]:
    """Hex SHA-256 of the bytes behind each uri; without those that can't be read, which are refused later."""
    hashes = {}
    with ImageByteReader() as reader:
        for name, uri in uris.items():
            with suppress(OSError):
                hashes[name] = hashlib.sha256(reader.read(uri)).hexdigest()
    return hashes


def _people(labels: dict[str, str], label_of_uri: dict[str, str]) -> set[str]:
    """Folders of the images `labels` (name -> label) whose images, other training images included, have one label."""
    of_folder: dict[str, set[str]] = defaultdict(set)
    for name, label in [*labels.items(), *((_inner_path(uri), label) for uri, label in label_of_uri.items())]:
        if (folder := person_of(name)) is not None:
            of_folder[folder].add(label)
    return {folder for name in labels if (folder := person_of(name)) is not None and len(of_folder[folder]) == 1}


def _inner_path(uri: str) -> str:
    """Path of an image in its container, or of a file."""
    return unquote(uri.partition("::")[0])
