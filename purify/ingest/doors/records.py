"""RecordIO: InsightFace's ``train.rec`` with identity records, and im2rec's form without them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

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
    index_path = path.with_suffix(".idx")
    index = read_record_index(path, index_path if index_path.is_file() else None)
    if index.unused:
        rows.warnings.append(f"{index.unused}; the records were found by reading {path.name} from its start")
    images = np.flatnonzero(index.is_image)
    keys = index.keys[images].tolist()
    labels, problems = _labels(path, index, images.tolist(), keys)
    if damaged := sum(row in index.problems for row in images.tolist()):
        rows.warnings.append(f"{path}: {damaged} of its {len(images)} records are damaged or cut off; get it anew")
    if (lost := _announced_records(index) - int(index.keys.max(initial=-1)) - 1) > 0:
        rows.warnings.append(
            f"{path}: its first record announces {lost} more records than are there; the file is cut off; get it anew"
        )
    found, announced = len(set(labels) - {None}), _announced_classes(path) if split is None else None
    if announced is not None and announced != found:
        rows.warnings.append(f"{path}: holds {found} classes, but the file property beside it says {announced}")
    if len(images) > 1 and len(set(labels)) == 1:
        rows.warnings.append(
            f"{path}: all {len(images)} images have the label {labels[0]}, and no list of labels beside it fits; "
            f"if they are of several people, put key, tab and label of each into {path.with_suffix('.txt').name}"
        )
    for key, row, label, problem in zip(keys, images.tolist(), labels, problems, strict=True):
        uri = container_uri("rec", rec_key(key, int(index.offsets[row])), path)
        rows.add(f"{path.name}#{key}", label, uri, problem=problem, split=split)


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


def _labels(
    path: Path, index: RecordIndex, images: Sequence[int], keys: Sequence[int]
) -> tuple[Sequence[str | None], Sequence[str | None]]:
    """Labels and problems of the images."""
    damaged = [f"{Defect.CORRUPT}: {index.problems[row]}" if row in index.problems else None for row in images]
    values = index.labels[list(images)]
    distinct = np.unique(values[np.isfinite(values)])
    if len(distinct) < 2 < len(images) and (listed := labels_beside(path, [str(key) for key in keys])) is not None:
        return listed[0], damaged
    stray = strays(index)
    is_class = (values >= 0) & (values == np.floor(values)) & (values < _MOST_CLASSES)
    labels = [f"{value:.0f}" if ok else None for value, ok in zip(values.tolist(), is_class.tolist(), strict=True)]
    problems = [
        problem
        or (f"{Defect.NO_LABEL}: the label in its header is {stray[row]}" if row in stray else None)
        or (None if ok else f"{Defect.NO_LABEL}: the label in its header, {value:g}, is no class number")
        for row, problem, value, ok in zip(images, damaged, values.tolist(), is_class.tolist(), strict=True)
    ]
    names = read_class_names(path.parent) or {}
    named = [None if label is None else names.get(label, label) for label in labels]
    return [label if problem is None else None for label, problem in zip(named, problems, strict=True)], problems


def _rec_files(path: Path) -> list[Path]:
    return sorted(file for file in path.glob(f"*{_SUFFIX}") if file.is_file()) if path.is_dir() else [path]


def _is_rec(source: Location) -> bool:
    if isinstance(source, Path) and source.is_dir():
        return bool(_rec_files(source))
    return source.suffix.lower() == _SUFFIX


def _open(source: Location, _images: Sequence[Location], _config: IngestConfig) -> Source:
    return RecordSource(local_source(source))


RECORDS = Door("rec", "RecordIO (a .rec file, or a folder with train.rec)", _is_rec, _open)
