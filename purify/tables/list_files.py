"""Published clean lists: files that name the images of a set to keep or to remove, perhaps with their labels.

The forms in use, by where they come from: one path a line (InsightFace's MS1M list, the FaceScrub and MegaFace noise
lists), ``path label`` (the LightCNN list of MS-Celeb-1M), ``label path`` (C-MS-Celeb), CSV with or without a header,
and Parquet.
"""

from __future__ import annotations

import csv
import enum
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from purify.errors import InputError
from purify.storage.files import local_file, open_parquet, read_columns, readable, write_bytes
from purify.storage.locations import Location
from purify.tables.text_tables import csv_rows
from purify.tables.user_tables import to_text

_ID_COLUMNS = ("sample_id", "path")
_LINE_END = re.compile(r"\r\n|\r|\n")
_COMMENT = "#"
_SEPARATORS = ("\t", ",", " ")
_SLASH = re.compile(r"[/\\]")
#: Lines on which the form of a file is decided.
_LOOKED_AT = 1000


class ListForm(enum.StrEnum):
    """Form of a text list."""

    PATH = "path"
    PATH_LABEL = "path-label"
    LABEL_PATH = "label-path"
    CSV = "csv"


#: Those that tell the label from the path.
_TOLD = (ListForm.PATH_LABEL, ListForm.LABEL_PATH)


@dataclass(frozen=True)
class CleanList:
    """Entries of a list in the order of the file: paths, and a label for each or None."""

    paths: Sequence[str]
    labels: Sequence[str | None]
    #: How the file was read, such as ``label-path (space)``.
    form: str


@dataclass(frozen=True)
class _Reading:
    """One way to split a line into path and label."""

    form: ListForm
    separator: str

    def __str__(self) -> str:
        names = {"\t": " (tab)", ",": " (comma)", " ": " (space)", "": ""}
        return f"{self.form}{names[self.separator]}"

    def split(self, line: str) -> tuple[str, str | None]:
        """Path and label; a line without the separator is a path alone."""
        if self.form is ListForm.PATH or self.separator not in line:
            return line, None
        if self.separator == ",":
            parts = _values(line)
            first, last = (parts[0], parts[1]) if len(parts) == 2 else (line, "")
        elif self.form is ListForm.LABEL_PATH:
            first, last = line.split(self.separator, 1)
        else:
            first, last = line.rsplit(self.separator, 1)
        path, label = (last, first) if self.form is ListForm.LABEL_PATH else (first, last)
        return path.strip(), label.strip() or None


def read_list(path: Location, found: Callable[[Sequence[str]], int], *, form: ListForm | None = None) -> CleanList:
    """Read a list.

    A table (Parquet, or CSV whose header has ``path`` or ``sample_id``) is read by its columns. Of any other text,
    empty lines and lines that begin with ``#`` are skipped, and without a `form`, that one is taken under which most
    paths are known: ``found(paths)`` counts these. InputError if the file is missing or damaged, or a path is empty.
    """
    if path.suffix.lower() == ".parquet":
        return _from_parquet(path)
    lines = _lines(path)
    if form in (None, ListForm.CSV) and _has_header(lines):
        return _from_csv(path)
    lines = [stripped for line in lines if (stripped := line.strip()) and not stripped.startswith(_COMMENT)]
    reading = _best_reading(lines, found, form)
    entries = [reading.split(line) for line in lines]
    return CleanList([name for name, _ in entries], [label for _, label in entries], str(reading))


def write_list(path: Path, paths: Sequence[str], labels: Sequence[str], form: ListForm) -> None:
    """Write a list that `read_list` reads back.

    Text is separated by a space, or by a tab if a path or label has a space or a comma. InputError if a name can't be
    written in that form: a line break, a tab, white space at an end, or a label that begins with ``#``.
    """
    if form is ListForm.CSV:
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerows([("path", "label"), *zip(paths, labels, strict=True)])
        text = buffer.getvalue()
    else:
        with_label = form is not ListForm.PATH
        _refuse_unwritable(path, paths, labels if with_label else ())
        separator = "\t" if any(mark in name for name in (*paths, *labels) for mark in " ,") else " "
        rows = zip(map(_guarded, paths), labels, strict=True)
        if form is ListForm.PATH:
            lines = [name for name, _ in rows]
        else:
            lines = [separator.join(row if form is ListForm.PATH_LABEL else row[::-1]) for row in rows]
        text = "".join(f"{line}\n" for line in lines)
    write_bytes(path, text.encode())


def _guarded(name: str) -> str:
    """A path that can't be taken for a comment."""
    return f"./{name}" if name.startswith(_COMMENT) else name


def _refuse_unwritable(path: Path, paths: Sequence[str], labels: Sequence[str]) -> None:
    for name in (*paths, *labels):
        if name != name.strip() or len(name.splitlines()) != 1 or "\t" in name:
            raise InputError(f"{path}: {name!r} can't be written on a line; write a .csv")
    if bad := next((label for label in labels if label.startswith(_COMMENT)), None):
        raise InputError(f"{path}: the label {bad!r} would be read as a comment; write a .csv")


def _lines(path: Location) -> list[str]:
    with readable(path):
        content = local_file(path).read_bytes()
    try:
        return _LINE_END.split(content.decode("utf-8-sig"))  # splitlines() knows more ends, which names may hold
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a list in UTF-8: {error}; convert it, such as with iconv") from error


def _values(line: str) -> list[str]:
    """The values of a line of CSV; the line alone if it is none."""
    try:
        return next(csv.reader([line]), [line])
    except csv.Error:
        return [line]


def _has_header(lines: Sequence[str]) -> bool:
    first = lines[0].split(",") if lines else []
    return any(name.strip().strip('"') in _ID_COLUMNS for name in first)


def _from_csv(path: Location) -> CleanList:
    rows = csv_rows(path)
    header = next(rows)
    place = next((header.index(name) for name in _ID_COLUMNS if name in header), None)
    if place is None:
        raise InputError(f"{path}: missing column path; the header has: {', '.join(header)}")
    label = header.index("label") if "label" in header else None
    entries = [(row[place], row[label] or None if label is not None else None) for row in rows]
    return _filled(path, [name for name, _ in entries], [label for _, label in entries], "csv")


def _from_parquet(path: Location) -> CleanList:
    with open_parquet(path) as file:
        names = file.schema_arrow.names
        place = next((name for name in _ID_COLUMNS if name in names), None)
        if place is None:
            raise InputError(f"{path}: missing column path; the file has: {', '.join(names)}")
        wanted = [place, "label"] if "label" in names else [place]
        table = read_columns(path, file, wanted)
    columns = [to_text(path, table[name], name).to_pylist() for name in wanted]
    return _filled(path, columns[0], columns[1] if len(columns) > 1 else [None] * len(table), "parquet")


def _filled(path: Location, paths: Sequence[str | None], labels: Sequence[str | None], form: str) -> CleanList:
    for row, name in enumerate(paths, start=1):
        if not (name or "").strip():
            raise InputError(f"{path}: row {row}: the path is empty; name the image or leave the row out")
    return CleanList([name or "" for name in paths], labels, form)


def _best_reading(lines: Sequence[str], found: Callable[[Sequence[str]], int], form: ListForm | None) -> _Reading:
    """The reading of the given form, or of any, under which most of an evenly spaced sample of paths is known."""
    sample = lines[:: max(1, len(lines) // _LOOKED_AT)]
    readings = [_Reading(ListForm.PATH, "")] + [
        _Reading(two_columns, separator)
        for separator in _SEPARATORS
        for two_columns in _TOLD
        if any(separator in line for line in sample)
    ]
    if form is not None:
        allowed = {form} if form is not ListForm.CSV else {ListForm.PATH, *_TOLD}
        readings = [reading for reading in readings if reading.form in allowed] or [_Reading(ListForm.PATH, "")]

    def fit(reading: _Reading) -> tuple[int, int]:
        """Entries with a known path, then those with a label: a listed path may be known with its label before it."""
        entries = [reading.split(line) for line in sample]
        # A label with a slash rather is a path, unless the form says which of the two is which.
        plausible = [(path, label) for path, label in entries if form in _TOLD or not _SLASH.search(label or "")]
        return found([path for path, _ in plausible]), sum(label is not None for _, label in plausible)

    return max(readings, key=fit)
