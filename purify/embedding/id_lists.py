"""Lists of sample ids beside arrays of embeddings: text, JSON, NumPy arrays of texts, or a column of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from purify.embedding.text_arrays import read_texts
from purify.errors import InputError
from purify.storage.files import local_file, open_parquet, read_columns, read_json, readable
from purify.storage.locations import Location
from purify.tables.text_tables import csv_rows
from purify.tables.user_tables import to_text

#: Usual names of a column of ids, first one first.
ID_COLUMNS = (
    "sample_id",
    "path",
    "image_path",
    "img_path",
    "file_name",
    "filename",
    "file_path",
    "filepath",
    "file",
    "name",
    "image",
    "key",
    "id",
)
_NAMES = ("ids", "sample_ids", "paths", "image_paths", "names", "filenames", "files", "keys")
_PACKED = ".npz"
_SUFFIXES = (".txt", ".csv", ".parquet", ".json", ".npy")


def id_column(names: Sequence[str], columns: Mapping[str, str]) -> str | None:
    """The column of ids among `names`: that of `columns` (ours -> theirs), else the first of the usual ones."""
    chosen = columns.get("sample_id") or columns.get("path")
    return chosen or next((name for name in ID_COLUMNS if name in names), None)


def find_id_list(array: Path) -> Path | None:
    """The list of ids beside an array file: of its name, with or without ``_ids``, or called ``ids`` or the like."""
    stems = [array.stem, f"{array.stem}_ids", f"{array.stem}.ids", *_NAMES]
    candidates = (array.with_name(stem + suffix) for stem in stems for suffix in _SUFFIXES)
    return next((path for path in candidates if path != array and path.is_file()), None)


def read_id_list(path: Location, columns: Mapping[str, str]) -> pa.Array:
    """Read ids as text, one for each row of an array.

    A text file has one a line; a table has them in a column, see `id_column`, or in its only one. InputError if the
    list can't be read, or has another form.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: unknown kind of list of ids; expected one of {', '.join(_READERS)}")
    with readable(path):
        return reader(path, columns)


def as_ids(path: Location, values: Any) -> pa.Array:
    """Texts or whole numbers of an array as text; InputError for anything else."""
    array = np.asarray(values)
    if array.ndim == 1 and array.dtype.kind == "O" and all(type(value) is str for value in array):
        return pa.array(array.tolist(), pa.string())
    if array.ndim != 1 or array.dtype.kind not in "USiu":
        raise InputError(
            f"{path}: the ids are {array.dtype} of shape {array.shape}, expected a list of texts; save them as such "
            "(np.asarray(ids, dtype=str))"
        )
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8", "replace")
    return pa.array(array.astype(str).tolist(), pa.string())


def load_array(path: Location) -> Any:
    """A memory-mapped ``.npy``, or an opened ``.npz``; InputError if it is damaged, or holds Python objects."""
    with readable(path):
        try:
            loaded = np.load(local_file(path), mmap_mode="r", allow_pickle=False)
        except OSError:
            raise
        except Exception as error:  # of a damaged file, NumPy and zipfile raise nearly anything
            raise InputError(
                f"{path}: not a NumPy file of plain numbers or texts, or a damaged one: {error}"
            ) from error
    packed = isinstance(loaded, np.lib.npyio.NpzFile)
    if packed != (path.suffix.lower() == _PACKED):
        raise InputError(f"{path}: is a {_PACKED if packed else '.npy'} by its content; rename it")
    return loaded


def _from_text(path: Location, _columns: Mapping[str, str]) -> pa.Array:
    try:
        lines = local_file(path).read_text(encoding="utf-8-sig").split("\n")  # splitlines() knows more ends of lines
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file in UTF-8: {error}") from error
    return pa.array([line for line in lines if line.strip()], pa.string())


def _from_csv(path: Location, columns: Mapping[str, str]) -> pa.Array:
    rows = [row for row in csv_rows(path) if row]
    if not rows:
        return pa.array([], pa.string())
    if id_column(rows[0], columns) is None and len(rows[0]) == 1:
        return pa.array([row[0] for row in rows], pa.string())
    place = rows[0].index(_choose(path, rows[0], columns))
    return pa.array([row[place] for row in rows[1:]], pa.string())


def _from_parquet(path: Location, columns: Mapping[str, str]) -> pa.Array:
    with open_parquet(path) as file:
        name = _choose(path, file.schema_arrow.names, columns)
        column = read_columns(path, file, [name])[name].combine_chunks()
    return to_text(path, column, name)


def _choose(path: Location, names: Sequence[str], columns: Mapping[str, str]) -> str:
    name = id_column(names, columns) or (names[0] if len(names) == 1 else None)
    if name is None or name not in names:
        raise InputError(
            f"{path}: missing column {name or 'sample_id or path'}; name it with --embedding-columns path=COLUMN; "
            f"the file has: {', '.join(names) or 'no columns'}"
        )
    return name


def _from_json(path: Location, _columns: Mapping[str, str]) -> pa.Array:
    values = read_json(path)
    if not isinstance(values, list) or not all(isinstance(value, str | int) for value in values):
        raise InputError(f"{path}: expected a list of texts")
    return pa.array([str(value) for value in values], pa.string())


def _from_npy(path: Location, _columns: Mapping[str, str]) -> pa.Array:
    with local_file(path).open("rb") as stream:
        texts = read_texts(path, stream) if stream.read(1) and not stream.seek(0) else None
    return as_ids(path, load_array(path) if texts is None else texts)


_READERS = {
    ".txt": _from_text,
    ".lst": _from_text,
    ".csv": _from_csv,
    ".parquet": _from_parquet,
    ".json": _from_json,
    ".npy": _from_npy,
}
