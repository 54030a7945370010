"""WebDataset: samples as members of one key in the shards of a set, each shard a tar."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from purify.config import IngestConfig
from purify.errors import InputError
from purify.images.defects import Defect
from purify.ingest.doors.door import Door
from purify.ingest.doors.keyed_rows import KeyedRows
from purify.ingest.doors.shard_samples import Sample, looks_like_samples, read_samples
from purify.ingest.doors.trees import is_tar
from purify.ingest.leftovers import is_hidden, is_image
from purify.ingest.shard_numbers import missing_files
from purify.ingest.source_listing import Listing, Source, and_so_on
from purify.ingest.split_folders import SPLITS
from purify.ingest.text_column import TextColumn, TextRows
from purify.storage.brace_patterns import expand_braces, is_brace_pattern
from purify.storage.locations import Location, as_text, tar_uri
from purify.tables.class_names import read_class_names

_NO_LABEL = f"{Defect.NO_LABEL}: the sample has no"
#: Field of the label in a ``.json``, unless told otherwise.
_LABEL_FIELD = "label"
#: As many samples with nearly as many labels are not identities but captions.
_MANY, _CAPTIONS = 100, 0.9


@dataclass(frozen=True)
class ShardSource:
    """A set in shards; a sample's id is ``SHARD#KEY``, the key being its path up to the first dot of its name.

    Its label is in ``.cls``, in a field of ``.json``, in ``.txt``, or is the name of its folder: the first of these
    that most samples have.
    """

    #: Name in the ids -> path.
    shards: dict[str, Path]
    label_field: str

    def listing(self) -> Listing:
        """See `Source`."""
        samples = self._columns()
        if not len(samples.ids):
            raise InputError(f"{self._shown()}: no images found in {len(self.shards)} shards")
        kind = self._kind(samples)
        labels, splits = self._labels(samples, kind), self._splits()
        rows = KeyedRows()
        for sample_id, label, uri, shard in zip(samples.ids, labels, samples.uris, samples.shards, strict=True):
            problem = None if label else f"{_NO_LABEL} {kind}"
            rows.add(sample_id, label, uri, problem=problem, split=splits.get(shard))
        rows.warnings += self._warnings(samples, labels, kind)
        return rows.listing(Path(self._shown()), nothing="no images found")

    def _labels(self, samples: _Columns, kind: str) -> TextColumn[str | None]:
        """The label of a kind of each sample, with the names in place of class numbers; null without one."""
        column, names = samples.labels[kind], self._names(kind)
        if not any(names.values()):
            return column
        given = zip(samples.shards, column, strict=True)
        return TextColumn((label and names[shard].get(label, label)) or None for shard, label in given)

    def _names(self, kind: str) -> Mapping[str, Mapping[str, str]]:
        """For each shard, the names in ``labels.csv`` of its class numbers."""
        folders = {path.parent for path in self.shards.values()}
        names = {folder: (read_class_names(folder) or {}) if kind == ".cls" else {} for folder in folders}
        return {shard: names[path.parent] for shard, path in self.shards.items()}

    def _columns(self) -> _Columns:
        kinds, rows, columns = self._kinds(), TextRows(3 + len(self._kinds())), _Columns()
        places = {shard: str(path) for shard, path in self.shards.items()}
        for sample in self._samples():
            sample_id = f"{sample.shard}#{as_text(sample.key)}"
            uri = tar_uri(sample.image, places[sample.shard])
            rows.append((sample.shard, sample_id, uri, *map(sample.labels.get, kinds)))
            columns.note(sample, sample_id)
        columns.shards, columns.ids, columns.uris, *labels = rows.columns()
        columns.labels = dict(zip(kinds, labels, strict=True))
        return columns

    def _kinds(self) -> Sequence[str]:
        """Kinds of labels, the surest first."""
        return (".cls", f".json[{self.label_field}]", ".txt", "folder")

    def _samples(self) -> Iterator[Sample]:
        faults = []
        for shard, path in self.shards.items():
            try:
                yield from read_samples(shard, path, self.label_field)
            except InputError as error:
                faults.append(str(error))
        if faults:
            raise InputError("\n  ".join(faults if len(faults) == 1 else [f"{len(faults)} damaged shards:", *faults]))

    def _kind(self, samples: _Columns) -> str:
        """The kind of label that most samples have, the surest first."""
        for kind, labels in samples.labels.items():
            if sum(label is None for label in labels) * 2 < len(labels):
                return kind
        fields = ", ".join(sorted(samples.fields))
        there = f"; the .json has {fields}: choose one by --label-field" if fields else ""
        raise InputError(
            f"{self._shown()}: most of the {len(samples.ids)} samples have no label in {', '.join(samples.labels)}"
            f"{there}"
        )

    def _splits(self) -> dict[str, str]:
        """The split of each shard, from its folder or its name (``train-0001.tar``); none unless all have one."""
        splits = {shard: _split(shard) for shard in self.shards}
        known = {shard: split for shard, split in splits.items() if split is not None}
        return known if len(known) == len(splits) else {}

    def _warnings(self, samples: _Columns, labels: TextColumn[str | None], kind: str) -> Iterator[str]:
        if len(self.shards) > 1:
            yield from missing_files(self.shards)
        without = TextColumn(sample_id for sample_id, label in zip(samples.ids, labels, strict=True) if not label)
        if without:
            yield f"{len(without)} samples have no label ({and_so_on(without)}): status no_label"
        if several := samples.several:
            yield f"{len(several)} samples have several images ({and_so_on(several)}), of which the first was taken"
        if len(labels) >= _MANY and _count_distinct(labels) > _CAPTIONS * len(labels):
            yield f"the labels in {kind} are nearly all different, as captions are; choose a field by --label-field"

    def _shown(self) -> str:
        paths = list(map(str, self.shards.values()))
        return and_so_on(paths, 1)


@dataclass
class _Columns:
    """Samples of all shards, with their labels of each kind, null without one."""

    labels: dict[str, TextColumn[str | None]] = field(default_factory=dict)
    shards: TextColumn[str] = field(default_factory=TextColumn)
    ids: TextColumn[str] = field(default_factory=TextColumn)
    uris: TextColumn[str] = field(default_factory=TextColumn)
    #: Ids of samples with several images.
    several: TextColumn[str] = field(default_factory=TextColumn)
    #: Fields of the first ``.json`` that lack the wanted one.
    fields: set[str] = field(default_factory=set)

    def note(self, sample: Sample, sample_id: str) -> None:
        """Keep what is to be told about a sample."""
        if sample.others:
            self.several.append(sample_id)
        if len(self.fields) <= _MANY:
            self.fields.update(sample.fields)


def _count_distinct(labels: Sequence[str | None]) -> int:
    """Number of different labels; by their hashes, which take less memory than captions."""
    return len(np.unique(np.fromiter(map(hash, labels), np.int64, len(labels))))


def shards_of_one_set(places: Sequence[Location], config: IngestConfig) -> Source | None:
    """Several sources as one, if they are shards of one set: a shell has expanded ``shard-{000..012}.tar`` itself.

    They are if they lie in one folder, their names differ in digits alone, and each holds samples of its own.
    """
    names = {(place.parent, re.sub(r"\d+", "#", place.name)) for place in places if isinstance(place, Path)}
    paths = [place for place in places if isinstance(place, Path) and place.is_file()]
    if len(names) > 1 or len(paths) < len(places) or config.format not in (None, WEBDATASET.name):
        return None
    if config.format is None and not all(is_tar(path) and looks_like_samples(path) for path in paths):
        return None
    return ShardSource({path.name: path.resolve() for path in paths}, config.label_field or _LABEL_FIELD)


def _split(shard: str) -> str | None:
    *folders, name = shard.lower().split("/")
    words = [*folders, *re.split(r"[-_.]", name)]
    return next((SPLITS[word] for word in words if word in SPLITS), None)


def _matches(source: Location) -> bool:
    if not isinstance(source, Path):
        return False
    if is_brace_pattern(str(source)) and not source.exists():
        return True
    if source.is_dir():
        return bool(_shards_in(source))
    return is_tar(source) and looks_like_samples(source)


def _open(source: Location, _images: Sequence[Location], config: IngestConfig) -> Source:
    if not isinstance(source, Path):
        raise InputError(f"{source}: shards on a store can't be read; copy them here first")
    return ShardSource(_shards(source), config.label_field or _LABEL_FIELD)


def _shards(source: Path) -> dict[str, Path]:
    if source.is_dir():
        names = _shards_in(source)
        if not names:
            raise InputError(f"{source}: no folder of .tar files alone")
        return {name: (source / name).resolve() for name in names}
    if source.exists():
        return {source.name: source.resolve()}
    paths = [Path(name) for name in expand_braces(str(source))]
    if missing := [str(path) for path in paths if not path.is_file()]:
        raise InputError(f"{source}: {len(missing)} of {len(paths)} files are missing: {and_so_on(missing)}")
    common = Path(os.path.commonpath([path.parent for path in paths]))
    shards = {path.relative_to(common).as_posix(): path.resolve() for path in paths}
    if len(shards) < len(paths):
        raise InputError(f"{source}: names a file twice")
    return shards


def _shards_in(folder: Path) -> list[str]:
    """The tars below a folder without images of its own, by name; empty for another folder, or an unreadable one."""
    found: list[str] = []
    pending = [""]
    while pending:
        inner = pending.pop()
        try:
            with os.scandir(folder / inner) as scan:
                children = sorted(scan, key=lambda child: child.name, reverse=True)
        except OSError:
            return []
        files = [f"{inner}{child.name}" for child in children if not child.is_dir(follow_symlinks=False)]
        if any(is_image(name) and not is_hidden(name) for name in files):
            return []
        found.extend(name for name in files if is_tar(Path(name)) and not is_hidden(name))
        inside = (f"{inner}{child.name}" for child in children if child.is_dir(follow_symlinks=False))
        pending.extend(f"{name}/" for name in inside if not is_hidden(name))
    return sorted(found)


WEBDATASET = Door("webdataset", "WebDataset (a .tar, a folder of them, shard-{000..012}.tar)", _matches, _open)
