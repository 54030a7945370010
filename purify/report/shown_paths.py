"""Paths in what is shown: without the folders above, whose names tell of accounts and machines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

#: An absolute path inside a text: after a blank, a quote or the like, up to the next one.
_INSIDE = re.compile(r"(?:file://|(?<![\w./\\:~-]))/(?:[^/\s'\"<>|;,()]+/)+")
#: A text that is nothing but a path, in which blanks may be.
_WHOLE = re.compile(r"(?:file://)?/[^\n]*")


def without_folders(values: Any) -> Any:
    """Texts, and those in lists and mappings, with absolute paths of files cut to their last part.

    >>> without_folders({"source": "/srv/jane doe/faces", "note": "/srv/jane doe/faces/a.jpg: no face"})
    {'source': 'faces', 'note': 'faces/a.jpg: no face'}
    >>> without_folders("read from s3://bucket/faces and /data/x.csv")
    'read from s3://bucket/faces and x.csv'
    """
    above = sorted({_folder(path) for path in _paths(values)} - {"/"}, key=len, reverse=True)
    return _shortened(values, above)


def _paths(values: Any) -> Iterator[str]:
    """All texts in `values` that are absolute paths as a whole."""
    if isinstance(values, str):
        if _WHOLE.fullmatch(values) and ": " not in values:
            yield values
    elif isinstance(values, Mapping):
        for key, value in values.items():
            yield from _paths(key)
            yield from _paths(value)
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _paths(value)


def _folder(path: str) -> str:
    return path.rstrip("/").rpartition("/")[0] + "/"


def _shortened(values: Any, above: list[str]) -> Any:
    if isinstance(values, str):
        for folder in above:
            values = values.replace(folder, "")
        return _INSIDE.sub("", values)
    if isinstance(values, Mapping):
        short: dict[Any, Any] = {}
        for key, value in values.items():
            name = plain = _shortened(key, above)
            while name in short:  # files of one name in two folders
                name = f"{plain} ({len(short) + 1})"
            short[name] = _shortened(value, above)
        return short
    if isinstance(values, list | tuple):
        return [_shortened(value, above) for value in values]
    return values


def column_without_folders(table: pa.Table, name: str) -> pa.Table:
    """The table with absolute paths in a column of texts cut to their last part."""
    column = table[name].cast(pa.string())
    short = {text: _INSIDE.sub("", text) for text in column.unique().to_pylist() if text is not None}
    values = pa.array([short.get(text) for text in column.to_pylist()], pa.string())
    place = table.schema.get_field_index(name)
    return table.set_column(place, table.schema.field(name), values.cast(table.schema.field(name).type))
