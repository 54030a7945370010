"""Samples of a WebDataset shard: the members of a tar that share a key, and the labels that they give."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from purify.errors import InputError
from purify.ingest.json_label import MOST_JSON, json_label
from purify.ingest.leftovers import is_hidden, is_image, key_of
from purify.storage.locations import as_text
from purify.storage.positioned import READ_FLAGS, read_at
from purify.storage.tar_index import TarIndex, index_tar
from purify.storage.unpacked import unpacked

_SIDECARS = (".cls", ".json", ".txt")
#: A label, not a text; a longer file is not read.
_MOST_LABEL = 1 << 10
_PEEKED = 16

#: Offset and size in bytes.
Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample of a shard: its key, the name of its image, and its labels by kind (``.cls``, ``folder``, ...)."""

    shard: str
    key: str
    image: str
    labels: Mapping[str, str]
    #: Whether the sample has further images.
    others: bool
    #: Fields of its ``.json``, where the wanted one is missing.
    fields: Sequence[str] = ()


class ShardReader:
    """An open shard."""

    def __init__(self, path: Path) -> None:
        self.index: TarIndex = index_tar(path)
        self._path = path

    def __enter__(self) -> ShardReader:
        self._descriptor = os.open(unpacked(self._path), READ_FLAGS)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def text(self, place: Place, most: int) -> str:
        """Content of the member at a place as text; empty if it is longer than `most` bytes."""
        offset, size = place
        return read_at(self._descriptor, offset, size).decode("utf-8", "backslashreplace") if size <= most else ""

    def groups(self) -> dict[str, dict[str, Place]]:
        """Members by key, in the order of the shard: name -> place."""
        groups: dict[str, dict[str, Place]] = {}
        for name, place in self.index.members.rows():
            if not is_hidden(name):
                groups.setdefault(key_of(name), {})[name] = place
        return groups


def read_samples(shard: str, path: Path, label_field: str) -> Iterator[Sample]:
    """The samples of the shard at `path` with an image, in its order; InputError if it is damaged."""
    with ShardReader(path) as reader:
        for key, names in reader.groups().items():
            images = [name for name in names if is_image(name)]
            if images:
                if len(images) > 1:
                    images.sort(key=lambda name: name.count("."))  # 1.jpg before 1.mask.jpg
                labels, fields = _labels(reader, key, names, label_field)
                yield Sample(shard, key, images[0], labels, len(images) > 1, fields)


def looks_like_samples(path: Path) -> bool:
    """Whether a tar holds samples with labels of their own rather than images in label folders.

    It does if its images lie in no folder, most with a ``.cls``, ``.json`` or ``.txt``; or in one folder, with a
    ``.cls`` or a ``.json`` with a field ``label``; or in several, of which one has images of several ``.cls``. False
    for a damaged tar.
    """
    try:
        with ShardReader(path) as reader:
            samples = [(key, names) for key, names in reader.groups().items() if any(map(is_image, names))]
            return bool(samples) and _are_labeled(reader, samples)
    except InputError:
        return False


def _are_labeled(reader: ShardReader, samples: Sequence[tuple[str, Mapping[str, Place]]]) -> bool:
    folders = {key.rpartition("/")[0] for key, _ in samples}
    if folders == {""}:
        return _share(samples, _SIDECARS) > 0.5
    if _share(samples, (".cls",)) > 0.5:
        return len(folders) == 1 or _differ_inside(reader, samples)
    peeked = [_labels(reader, key, names, "label")[0] for key, names in samples[:_PEEKED]]
    return len(folders) == 1 and all(".json[label]" in labels for labels in peeked)


def _share(samples: Sequence[tuple[str, Mapping[str, Place]]], suffixes: tuple[str, ...]) -> float:
    return sum(any(name.lower().endswith(suffixes) for name in names) for _, names in samples) / len(samples)


def _differ_inside(reader: ShardReader, samples: Sequence[tuple[str, Mapping[str, Place]]]) -> bool:
    """Whether a folder holds images of several ``.cls``: then folders are no labels."""
    first: dict[str, str] = {}
    for key, names in samples:
        label = _labels(reader, key, names, "")[0].get(".cls")
        if label is not None and first.setdefault(key.rpartition("/")[0], label) != label:
            return True
    return False


def _labels(
    reader: ShardReader, key: str, members: Mapping[str, Place], field: str
) -> tuple[dict[str, str], Sequence[str]]:
    """Labels of a sample by kind, and the fields of a ``.json`` without the wanted one."""
    labels: dict[str, str] = {}
    fields: Sequence[str] = ()
    for name, place in members.items():
        ending = name[len(key) :].lower()
        if ending in (".cls", ".txt"):
            labels[ending] = reader.text(place, _MOST_LABEL).strip()
        elif ending == ".json" and field:
            label, fields = json_label(reader.text(place, MOST_JSON), field)
            labels[f".json[{field}]"] = label
    if "/" in key:
        labels["folder"] = as_text(key.rpartition("/")[0].rpartition("/")[2])
    return {kind: sys.intern(label) for kind, label in labels.items() if label.strip()}, fields
