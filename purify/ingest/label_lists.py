"""Lists of labels beside a container of images: text files of a key or path and a label on each line.

Forms in use: ``path<TAB>label``, by the order of the images or by key; ``key<TAB>path``, with the label as the path's
folder (DCFace); ``key<TAB>path<TAB>label`` (CVLface); ``aligned<TAB>path<TAB>label`` (InsightFace's ``.lst``);
``key<TAB>label<TAB>...<TAB>path`` (im2rec's ``.lst``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from purify.storage.files import readable
from purify.tables.text_tables import is_number

_SUFFIXES = (".lst", ".tsv", ".txt", ".csv")
_NAMES = ("list", "labels", "label")


@dataclass(frozen=True)
class LabelList:
    """Labels of a list."""

    path: Path
    #: In the order of the lines.
    labels: Sequence[str]
    #: Texts of the lines that may be keys; unique.
    keys: Sequence[Sequence[str]]

    def match(self, keys: Sequence[str]) -> Sequence[str | None] | None:
        """Labels of the images called `keys`, in their order, by key or else line by line; None if it doesn't fit."""
        wanted = set(keys)
        for column in self.keys:
            known = dict(zip(column, self.labels, strict=True))
            if wanted & known.keys() and 2 * len(wanted & known.keys()) >= len(wanted):
                return [known.get(key) for key in keys]
        return self.labels if len(self.labels) == len(keys) else None


def find_label_lists(container: Path) -> Iterator[LabelList]:
    """Yield the lists beside a container that can be read: those of its name first, then those called a list."""
    stems = (container.stem, *_NAMES)
    candidates = [container.with_name(stem + suffix) for stem in stems for suffix in _SUFFIXES]
    for path in dict.fromkeys(candidates):
        if path != container and path.is_file() and (found := read_label_list(path)) is not None:
            yield found


def read_label_list(path: Path) -> LabelList | None:
    """Read a list in one of the known forms; None if it has another. InputError if it can't be read."""
    with readable(path), path.open(encoding="utf-8-sig") as stream:
        try:
            rows = [line for line in _rows(stream) if line]
        except UnicodeDecodeError:
            return None
    width = len(rows[0]) if rows else 0
    if width < 2 or any(len(row) != width for row in rows):
        return None
    columns = list(zip(*rows, strict=True))
    place = _label_column(columns)
    if place is None:
        paths = columns[1]
        labels = [PurePosixPath(path).parent.name for path in paths]
        return LabelList(path, labels, _unique(columns)) if all(labels) else None
    others = [column for number, column in enumerate(columns) if number != place]
    return LabelList(path, list(map(_class_name, columns[place])), _unique(others))


def labels_beside(container: Path, keys: Sequence[str]) -> tuple[Sequence[str | None], Path] | None:
    """Labels of the images called `keys`, from the first list beside their container that fits; and its path."""
    for labels in find_label_lists(container):
        if (matched := labels.match(keys)) is not None:
            return matched, labels.path
    return None


def _rows(lines: Iterable[str]) -> Iterator[list[str]]:
    for line in lines:
        text = line.rstrip("\r\n")
        separator = "\t" if "\t" in text else "," if "," in text else None
        yield [part.strip() for part in text.split(separator)]


def _label_column(columns: Sequence[Sequence[str]]) -> int | None:
    """Number of the column of labels; None if the labels are the folders of the paths in the second column."""
    numeric = [all(is_number(value) for value in column) for column in columns]
    if len(columns) == 2:
        return None if numeric[0] and _are_paths(columns[1]) else 1
    return 1 if numeric[1] and not numeric[-1] else 2  # im2rec's, else InsightFace's and CVLface's


def _are_paths(column: Sequence[str]) -> bool:
    return all("/" in value for value in column)


def _class_name(label: str) -> str:
    """A label as text; MXNet writes class numbers as floats, ``3.000000``."""
    if "." in label and is_number(label) and float(label).is_integer():
        return str(int(float(label)))
    return label


def _unique(columns: Iterable[Sequence[str]]) -> list[Sequence[str]]:
    return [column for column in columns if len(set(column)) == len(column)]
