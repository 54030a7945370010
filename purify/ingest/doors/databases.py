"""LMDB databases of images: labels in the values, in further keys, in the keys' folders, or in a list beside them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from purify.config import IngestConfig
from purify.errors import InputError
from purify.images.defects import Defect
from purify.ingest.doors.door import Door
from purify.ingest.doors.keyed_rows import KeyedRows, local_source
from purify.ingest.label_lists import labels_beside
from purify.ingest.source_listing import Listing, Source
from purify.ingest.text_column import TextColumn, TextRows
from purify.storage.lmdb_container import database_file
from purify.storage.lmdb_scan import scan_database
from purify.storage.locations import Location, as_text, container_uri, split_uri
from purify.storage.text_index import TextIndex

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
    #: Files whose names and places lists of labels have: inside the database's folder, and beside it.
    beside: Sequence[Path]

    def listing(self) -> Listing:
        """See `Source`."""
        ids, uris, labels, problems = self._read()
        if len(ids) and all(label is None for label in labels):
            labels = self._from_list([split_uri(uri).key or "" for uri in uris])
        rows = KeyedRows()
        for sample_id, uri, label, problem in zip(ids, uris, labels, problems, strict=True):
            rows.add(sample_id, label, uri, problem=problem)
        return rows.listing(self.path, nothing="holds no images")

    def _read(self) -> tuple[Sequence[str], Sequence[str], Sequence[str | None], Sequence[str | None]]:
        """Ids and uris of the images, their labels and problems."""
        images, named, place = TextRows(6), TextRows(2), str(self.path.resolve())
        for scanned in scan_database(self.path):
            numbered = _NUMBERED.fullmatch(scanned.key)
            number = numbered["number"] if numbered is not None else None
            if numbered is not None and numbered["what"] == "label":
                named.append((number, as_text((scanned.text or "").strip()) or None))
            elif not _ABOUT.fullmatch(scanned.key):
                problem = f"{Defect.CORRUPT}: {scanned.problem}" if scanned.problem else None
                sample_id, uri = f"{self.name}#{as_text(scanned.key)}", container_uri("lmdb", scanned.key, place)
                images.append((sample_id, uri, problem, scanned.label, number, _folder(scanned.key)))
        ids, uris, problems, own, numbers, folders = images.columns()
        under = _Named(*named.columns())
        fallback = zip(own, numbers, folders, strict=True)
        labels = TextColumn[Any](label or under.label(number) or folder for label, number, folder in fallback)
        return ids, uris, labels, problems

    def _from_list(self, keys: Sequence[str]) -> Sequence[str | None]:
        listed = next(filter(None, (labels_beside(place, keys) for place in self.beside)), None)
        if listed is None:
            raise InputError(
                f"{self.path}: its images have no labels: not in the values, in keys label-NUMBER, or in the keys' "
                f"folders; put key, tab and label of each into {self.beside[-1].with_suffix('.txt')}"
            )
        return listed[0]


class _Named:
    """Labels under keys of their own, by number."""

    def __init__(self, numbers: TextColumn[str], labels: TextColumn[str | None]) -> None:
        self._index = TextIndex(numbers.chunked())
        self._labels = labels

    def label(self, number: str | None) -> str | None:
        row = self._index.row_of(number) if number is not None else -1
        return self._labels[row] if row >= 0 else None


def _folder(key: str) -> str | None:
    folders = key.split("/")[:-1]
    return as_text(folders[-1]) if folders and folders[-1] else None


def _is_database(source: Location) -> bool:
    if isinstance(source, Path) and source.is_dir():
        return (source / "data.mdb").is_file()
    return source.suffix.lower() in _SUFFIXES


def _open(source: Location, _images: Sequence[Location], _config: IngestConfig) -> Source:
    path = local_source(source)
    file = database_file(path)
    return DatabaseSource(file, path.name, [path] if file == path else [path / "labels", path])


LMDB = Door("lmdb", "an LMDB database of images", _is_database, _open)
