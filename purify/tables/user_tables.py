"""Users' tables of samples with ``path,label`` (or ``sample_id,label``): Parquet, CSV, TSV, JSON Lines, ``.lst``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from purify.errors import InputError
from purify.storage.files import (
    is_text,
    open_parquet,
    read_columns,
    require_columns,
    table_kind,
)
from purify.storage.locations import Location
from purify.tables.text_tables import image_list, json_lines, separated

_Column = TypeVar("_Column", pa.Array, pa.ChunkedArray)

#: Reads a text: path and names of columns -> the names in it, and its rows.
TextReader = Callable[[Location, Mapping[str, str]], tuple[list[str], Iterator[Sequence[str | None]]]]

#: The project's own tables of labeled samples.
_SAMPLE_TABLES = ("manifest/", "cleaned/", "removed/")
_SAME_NAMES: Mapping[str, str] = MappingProxyType({})


def read_samples(
    path: Location,
    *,
    required: Sequence[str] = ("label",),
    optional: Sequence[str] = (),
    empty_labels: bool = False,
    columns: Mapping[str, str] = _SAME_NAMES,
) -> pa.Table:
    """Read a table of samples: ``sample_id``, the `required` columns, and the present ones of `optional`.

    ``sample_id`` is the column of that name, else ``path``; `columns` tells which have another name in the file. Text
    stays exactly as in the file: no special words such as NA, no trimming. A column of integers is read as their
    digits. With `empty_labels`, labels may be empty: a manifest also lists images without one.

    InputError if the file is missing, damaged, of another kind, empty, lacks a column, has an empty label or id (white
    space alone counts as empty), or a duplicate id. Rows are numbered from 1 without the header.
    """
    if not is_table(path):
        raise InputError(f"{path}: unknown kind of table; expected one of {', '.join(TABLE_READERS)}")
    table = TABLE_READERS[path.suffix.lower()](path, _Wanted(required, optional, columns))
    if not len(table):
        raise InputError(f"{path}: the table has no rows")
    _check_ids(path, table["sample_id"])
    if "label" in required and not empty_labels:
        require_filled(path, table["label"], "label", "give it a label or leave the row out")
    return table


def is_table(path: Location) -> bool:
    """Whether a file is a table, by its suffix."""
    return path.suffix.lower() in TABLE_READERS


def first_row(mask: pa.ChunkedArray) -> int | None:
    """1-based row of the first true value; nulls are false."""
    index = pc.index(mask, pa.scalar(True)).as_py()
    return None if index < 0 else int(index) + 1


def first_repeated(ids: pa.Array | pa.ChunkedArray) -> str | None:
    """The first value that occurs twice, if any."""
    counts = ids.value_counts()
    repeated = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")
    return repeated[0].as_py() if len(repeated) else None


def require_filled(path: Location, column: pa.ChunkedArray, name: str, remedy: str) -> None:
    """InputError naming the first row of `column` that is empty or white space, and the remedy."""
    empty = pc.equal(pc.utf8_trim_whitespace(pc.fill_null(column, "")), "")
    if row := first_row(empty):
        raise InputError(f"{path}: row {row}: the {name} is empty; {remedy}")


@dataclass(frozen=True)
class _Wanted:
    """Columns to read, and their names in the file where these differ."""

    required: Sequence[str]
    optional: Sequence[str]
    columns: Mapping[str, str]

    def choose(self, path: Location, present: Sequence[str]) -> dict[str, str]:
        """Column of the result -> column of the file."""
        present = list(present)
        ids = ("sample_id", "path")
        named = {name: self._found(name, present) for name in (*ids, *self.required, *self.optional)}
        id_column = next((named[name] for name in ids if named[name] in present), named["path"])
        columns = {"sample_id": id_column} | {name: named[name] for name in self.required}
        columns |= {name: named[name] for name in self.optional if named[name] in present}
        given = [self.columns[name] for name in (*ids, *self.required, *self.optional) if name in self.columns]
        require_columns(path, present, list(dict.fromkeys([*columns.values(), *given])), remedy=self._remedy(path))
        return columns

    def _remedy(self, path: Location) -> str:
        """What to do about missing columns."""
        names = ("path", *self.required)
        if any(self.named(name).isdigit() for name in names):
            return "columns are numbered from 1"
        given = ",".join(f"{name}=COLUMN" for name in names)
        numbers = ",".join(f"{name}={number}" for number, name in enumerate(names, start=1))
        in_text = path.suffix.lower() in (".csv", ".tsv")
        return f"name them with --columns {given}" + (f", or, without a header, by number: {numbers}" * in_text)

    def named(self, name: str) -> str:
        """Name of a column in the file."""
        return self.columns.get(name, name)

    def _found(self, name: str, present: Sequence[str]) -> str:
        """Name of a column among those of the file; without another name, also in capitals (``Path``)."""
        alike = [column for column in present if column.lower() == name]
        return alike[0] if name not in {*self.columns, *present} and len(alike) == 1 else self.named(name)


def _read_parquet(path: Location, wanted: _Wanted) -> pa.Table:
    with open_parquet(path) as file:
        kind = table_kind(file.schema_arrow)
        if kind and not kind.startswith(_SAMPLE_TABLES):
            raise InputError(f"{path}: holds {kind}; expected a manifest or a table of path,label")
        columns = wanted.choose(path, file.schema_arrow.names)
        table = read_columns(path, file, list(dict.fromkeys(columns.values())))
    return pa.table({name: to_text(path, table[column], column) for name, column in columns.items()})


def _read_text(reader: TextReader) -> Callable[[Location, _Wanted], pa.Table]:
    def read(path: Location, wanted: _Wanted) -> pa.Table:
        header, rows = reader(path, wanted.columns)
        columns = wanted.choose(path, header)
        positions = [header.index(column) for column in columns.values()]
        values: list[list[str | None]] = [[] for _ in columns]
        for row in rows:
            for position, column in zip(positions, values, strict=True):
                column.append(row[position])
        return pa.table([pa.array(column, pa.string()) for column in values], names=list(columns))

    return read


#: Suffix -> reader.
TABLE_READERS: Mapping[str, Callable[[Location, _Wanted], pa.Table]] = {
    ".parquet": _read_parquet,
    ".csv": _read_text(separated),
    ".tsv": _read_text(separated),
    ".jsonl": _read_text(json_lines),
    ".ndjson": _read_text(json_lines),
    ".lst": _read_text(image_list),
    ".txt": _read_text(image_list),
}


def to_text(path: Location, column: _Column, name: str) -> _Column:
    """A user's column of text, dictionary or integers as text; InputError if it is of another kind."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if not (is_text(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind)):
        raise InputError(f"{path}: column {name!r} is {kind}, expected text or whole numbers; write it as strings")
    return column.cast(pa.string())


def _check_ids(path: Location, ids: pa.ChunkedArray) -> None:
    require_filled(path, ids, "path (or sample_id)", "name the image or leave the row out")
    if len(ids.unique()) == len(ids):
        return
    first: dict[str, int] = {}
    for row, sample_id in enumerate(ids.to_pylist(), start=1):
        if (before := first.setdefault(sample_id, row)) != row:
            raise InputError(f"{path}: row {row}: {sample_id} is in row {before} already; leave one out")
