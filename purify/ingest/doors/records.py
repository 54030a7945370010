"""RecordIO: InsightFace's ``train.rec`` with identity records, and im2rec's form without them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from purify.arrays import Ids
from purify.config import IngestConfig
from purify.images.defects import Defect
from purify.ingest.doors.door import Door
from purify.ingest.doors.identity_ranges import strays
from purify.ingest.doors.keyed_rows import KeyedRows, local_source, split_of
from purify.ingest.label_lists import labels_beside
from purify.ingest.source_listing import Listing, Source
from purify.storage.locations import Location, container_uri
from purify.storage.rec_container import rec_key
from purify.storage.record_index import RecordIndex, read_record_index
from purify.tables.class_names import read_class_names

_SUFFIX = ".rec"
_MOST_CLASSES = 1 << 31
_SLAB = 1 << 14


@dataclass(frozen=True)
class RecordSource:
    """A RecordIO file, or a folder of them.

    A record's label is the class number in its header, the first if there are several. Where the headers tell no
    classes apart, the labels come from a list beside the file; see `purify.ingest.label_lists`. ``labels.csv`` beside
    it names the classes; see `purify.tables.class_names`.
    """

    path: Path

    def listing(self) -> Listing:
        """See `Source`."""
        rows = KeyedRows()
        files = _rec_files(self.path)
        for file in files:
            split = split_of(Path(file.name)) if len(files) > 1 else None
            _add_records(rows, file.resolve(), split)
        return rows.listing(self.path, nothing="holds no images; is it a RecordIO file of images?")


def _add_records(rows: KeyedRows, path: Path, split: str | None) -> None:
    place, name = str(path), path.name
    index_path = path.with_suffix(".idx")
    index = read_record_index(path, index_path if index_path.is_file() else None)
    if index.unused:
        rows.warnings.append(f"{index.unused}; the records were found by reading {path.name} from its start")
    images = np.flatnonzero(index.is_image)
    labels: set[str | None] = set()
    for image in _read_images(path, index, images):
        labels.add(image.label)
        uri = container_uri("rec", rec_key(image.key, image.offset), place)
        rows.add(f"{name}#{image.key}", image.label, uri, problem=image.problem, split=split)
    rows.warnings += _warnings(
        path, index, images, labels, announced=_announced_classes(path) if split is None else None
    )


def _warnings(
    path: Path, index: RecordIndex, images: Ids, labels: Set[str | None], *, announced: int | None
) -> Iterator[str]:
    if damaged := sum(row in index.problems for row in images.tolist()) if index.problems else 0:
        yield f"{path}: {damaged} of its {len(images)} records are damaged or cut off; get it anew"
    if (lost := _announced_records(index) - int(index.keys.max(initial=-1)) - 1) > 0:
        yield f"{path}: its first record announces {lost} more records than are there; the file is cut off; get it anew"
    found = len(labels - {None})
    if announced is not None and announced != found:
        yield f"{path}: holds {found} classes, but the file property beside it says {announced}"
    if len(images) > 1 and len(labels) == 1:
        yield (
            f"{path}: all {len(images)} images have the label {next(iter(labels))}, and no list of labels beside it "
            f"fits; if they are of several people, put key, tab and label of each into {path.with_suffix('.txt').name}"
        )


def _announced_records(index: RecordIndex) -> int:
    """Number of records in InsightFace's layout, whose first record holds the range of the last ones; else 0."""
    return int(index.ranges[0, 1]) if len(index.ranges) and not index.is_image[0] else 0


def _announced_classes(path: Path) -> int | None:
    """Number of classes in InsightFace's file ``property`` (classes,height,width); None without a readable one."""
    try:
        first = path.with_name("property").read_text(encoding="utf-8").partition(",")[0].strip()
    except (OSError, UnicodeDecodeError):
        return None
    return int(first) if first.isdecimal() else None


class _Image(NamedTuple):
    """An image of a file: key and position of its record, its label, and why it can't be used."""

    key: int
    offset: int
    label: str | None
    problem: str | None


def _read_images(path: Path, index: RecordIndex, images: Ids) -> Iterator[_Image]:
    """The images in the rows `images`, a slab at a time: memory has no room for an object of each at once."""
    values = index.labels[images]
    listed = None
    if len(np.unique(values[np.isfinite(values)])) < 2 < len(images):
        listed = labels_beside(path, [str(key) for key in index.keys[images].tolist()])
    stray = {} if listed else strays(index)
    names = read_class_names(path.parent) or {}
    for start in range(0, len(images), _SLAB):
        rows = images[start : start + _SLAB]
        columns = (index.keys[rows], index.offsets[rows], rows, index.labels[rows])
        for place, (key, offset, row, value) in enumerate(
            zip(*(c.tolist() for c in columns), strict=True), start=start
        ):
            damage = f"{Defect.CORRUPT}: {index.problems[row]}" if row in index.problems else None
            if listed:
                yield _Image(key, offset, listed[0][place], damage)
                continue
            problem = damage or _problem(value, stray.get(row))
            label = f"{value:.0f}" if problem is None else None
            yield _Image(key, offset, label and names.get(label, label), problem)


def _problem(value: float, stray: str | None) -> str | None:
    """Why the label in a header is none; None for a class number."""
    if stray is not None:
        return f"{Defect.NO_LABEL}: the label in its header is {stray}"
    if 0 <= value < _MOST_CLASSES and value == int(value):
        return None
    return f"{Defect.NO_LABEL}: the label in its header, {value:g}, is no class number"


def _rec_files(path: Path) -> list[Path]:
    return sorted(file for file in path.glob(f"*{_SUFFIX}") if file.is_file()) if path.is_dir() else [path]


def _is_rec(source: Location) -> bool:
    if isinstance(source, Path) and source.is_dir():
        return bool(_rec_files(source))
    return source.suffix.lower() == _SUFFIX


def _open(source: Location, _images: Sequence[Location], _config: IngestConfig) -> Source:
    return RecordSource(local_source(source))


RECORDS = Door("rec", "RecordIO (a .rec file, or a folder with train.rec)", _is_rec, _open)
