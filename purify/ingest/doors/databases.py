"""LMDB databases of images: labels in the values, in further keys, in the keys' folders, or in a list beside them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from purify.config import IngestConfig
from purify.errors import InputError
from purify.images.defects import Defect
from purify.ingest.doors.door import Door
from purify.ingest.doors.keyed_rows import KeyedRows, local_source
from purify.ingest.label_lists import labels_beside
from purify.ingest.source_listing import Listing, Source
from purify.storage.lmdb_container import database_file
from purify.storage.lmdb_scan import ScannedKey, scan_database
from purify.storage.locations import Location, as_text, container_uri

_SUFFIXES = (".lmdb", ".mdb")
#: Keys that describe the database: ``__len__``, ``__keys__``, ``num-samples``.
_ABOUT = re.compile(r"__.*__|num[-_]samples|length|size|version|meta", re.DOTALL)
#: ``image-000000001`` and ``label-000000001``.
_NUMBERED = re.compile(r"(?P<what>image|img|label)(?P<number>[-_][0-9]+)", re.DOTALL)


@dataclass(frozen=True)
class DatabaseSource:
    """The file of an LMDB database, in the order of its keys; a sample is called ``<name>#<key>``.

    `name` is that of the database. A label is, in this order, in the value (an image and a label), under the key
    ``label-NUMBER`` of ``image-NUMBER``, the folder in a key ``label/name``, or in a list beside the database.
    """

    path: Path
    name: str
    beside: Path

    def listing(self) -> Listing:
        """See `Source`."""
        keys, labels, problems = self._read()
        if keys and all(label is None for label in labels):
            labels = self._from_list(keys)
        rows = KeyedRows()
        place = str(self.path.resolve())
        for key, label, problem in zip(keys, labels, problems, strict=True):
            rows.add(f"{self.name}#{as_text(key)}", label, container_uri("lmdb", key, place), problem=problem)
        return rows.listing(self.path, nothing="holds no images")

    def _read(self) -> tuple[list[str], Sequence[str | None], list[str | None]]:
        """Keys of the images, with their labels and problems."""
        named: dict[str, str | None] = {}
        images: list[ScannedKey] = []
        for scanned in scan_database(self.path):
            numbered = _NUMBERED.fullmatch(scanned.key)
            if numbered is not None and numbered["what"] == "label":
                named[numbered["number"]] = scanned.text and scanned.text.strip()
            elif not _ABOUT.fullmatch(scanned.key):
                images.append(scanned)
        labels = [image.label or _named(image.key, named) or _folder(image.key) for image in images]
        problems = [f"{Defect.CORRUPT}: {image.problem}" if image.problem else None for image in images]
        return [image.key for image in images], labels, problems

    def _from_list(self, keys: Sequence[str]) -> Sequence[str | None]:
        listed = labels_beside(self.beside, keys)
        if listed is None:
            raise InputError(
                f"{self.path}: its images have no labels: not in the values, in keys label-NUMBER, or in the keys' "
                f"folders; put key, tab and label of each into {self.beside.with_suffix('.txt').name} beside it"
            )
        return listed[0]


def _named(key: str, named: Mapping[str, str | None]) -> str | None:
    """The label under a key of its own."""
    numbered = _NUMBERED.fullmatch(key)
    return named.get(numbered["number"]) if numbered is not None else None


def _folder(key: str) -> str | None:
    folders = key.split("/")[:-1]
    return as_text(folders[-1]) if folders and folders[-1] else None


def _is_database(source: Location) -> bool:
    if isinstance(source, Path) and source.is_dir():
        return (source / "data.mdb").is_file()
    return source.suffix.lower() in _SUFFIXES


def _open(source: Location, _images: Sequence[Location], _config: IngestConfig) -> Source:
    path = local_source(source)
    return DatabaseSource(database_file(path), path.name, path / "labels" if path.is_dir() else path)


LMDB = Door("lmdb", "an LMDB database of images", _is_database, _open)
