"""Tables in text: CSV and TSV with a header or with columns by number, JSON Lines, and lists without a header."""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from purify.errors import InputError
from purify.storage.files import local_file, parse_json, readable
from purify.storage.locations import Location

#: Separators of values, and their names.
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_PEEKED = 100


def csv_rows(path: Location) -> Iterator[list[str]]:
    """Yield the header of a CSV or TSV file, then its rows, as long as the header; empty lines are skipped.

    A ``.csv`` without a comma in its first line is separated by semicolons or tabs, as spreadsheets write it where the
    comma is the decimal sign. A space after each comma of that line belongs to no value of the file. Text is UTF-8, or
    UTF-16 with its mark.
    """
    with readable(path), local_file(path).open(encoding=_encoding(path), newline="") as stream:
        try:
            first = stream.readline()
            stream.seek(0)
            separator = _separator(path, first)
            values = _SEPARATORS[separator]
            spaced = separator in first and first.count(separator) == first.count(f"{separator} ")
            lines = csv.reader(stream, delimiter=separator, skipinitialspace=spaced, strict=True)
            yield (header := next(lines, []))
            for number, row in enumerate(filter(None, lines), start=1):
                if len(row) != len(header):
                    raise InputError(
                        f"{path}: row {number} has {len(row)} values, expected {len(header)}; "
                        f"quote values with {values}"
                    )
                yield row
        except UnicodeError as error:
            raise InputError(
                f"{path}: not in UTF-8 ({error}); write it in UTF-8 (in a spreadsheet: save as 'CSV UTF-8')"
            ) from error
        except csv.Error as error:
            raise InputError(f"{path}: not a CSV file with {values}, or a damaged one: {error}") from error


def _encoding(path: Location) -> str:
    with local_file(path).open("rb") as stream:
        return "utf-16" if stream.read(2) in _UTF16 else "utf-8-sig"


def _separator(path: Location, header: str) -> str:
    if path.suffix.lower() == ".tsv":
        return "\t"
    return next((separator for separator in _SEPARATORS if separator in header), ",")


def separated(path: Location, columns: Mapping[str, str]) -> tuple[list[str], Iterator[Sequence[str | None]]]:
    """Names of the columns of a CSV or TSV file, and its rows.

    If all `columns` are numbers and no name of the header is one, the file has no header: its columns are ``1``, ``2``.
    """
    rows = csv_rows(path)
    header = next(rows)
    if columns and all(name.isdigit() and name not in header for name in columns.values()):
        return [str(number) for number in range(1, len(header) + 1)], _with_first(header, rows)
    return header, rows


def _with_first(first: list[str], rows: Iterator[list[str]]) -> Iterator[list[str]]:
    yield first
    yield from rows


def json_lines(path: Location, _columns: Mapping[str, str]) -> tuple[list[str], Iterator[Sequence[str | None]]]:
    """Names of the fields of the first rows of a file with a JSON object in each line, and its rows."""
    names = list(dict.fromkeys(name for row in islice(_objects(path), _PEEKED) for name in row))
    return names, ([_text(row.get(name)) for name in names] for row in _objects(path))


def _objects(path: Location) -> Iterator[dict[str, Any]]:
    with readable(path), local_file(path).open("rb") as stream:
        for number, line in enumerate(filter(bytes.strip, stream), start=1):
            try:
                row = parse_json(line.removeprefix(b"\xef\xbb\xbf"))
            except (ValueError, RecursionError) as error:
                raise InputError(f"{path}: row {number}: not JSON: {error}") from error
            if not isinstance(row, dict):
                raise InputError(f"{path}: row {number}: expected an object, such as {{'path': ..., 'label': ...}}")
            yield row


def _text(value: Any) -> str | None:
    """A value as text."""
    if isinstance(value, str) or value is None:
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else json.dumps(value)


def image_list(path: Location, columns: Mapping[str, str]) -> tuple[list[str], Iterator[Sequence[str | None]]]:
    """Columns and rows of a list (``.lst``, ``.txt``), which has no header.

    ``NUMBER LABEL [LABEL ...] PATH`` as im2rec writes it, ``NUMBER PATH LABEL`` of InsightFace, or ``PATH LABEL``,
    separated by tabs, or else by spaces. A label such as ``3.000000`` is ``3``. With `columns` by number, any.
    """
    rows = list(_split_lines(path))
    width = len(rows[0]) if rows else 0
    for number, row in enumerate(rows, start=1):
        if len(row) != width:
            raise InputError(f"{path}: row {number} has {len(row)} values, expected {width}")
    if columns and all(name.isdigit() for name in columns.values()):
        return [str(number) for number in range(1, width + 1)], iter(rows)
    place = next((i for i in reversed(range(width)) if any(not is_number(row[i]) for row in rows[:_PEEKED])), None)
    if width < 2 or place is None:
        raise InputError(f"{path}: no column of paths beside one of labels; give them as --columns path=2,label=3")
    label = place + 1 if place + 1 < width else 0 if width == 2 else 1
    return ["path", "label"], ([row[place], _class(row[label])] for row in rows)


def _split_lines(path: Location) -> Iterator[list[str]]:
    with readable(path), local_file(path).open(encoding="utf-8-sig") as stream:
        try:
            for line in filter(str.strip, stream):
                yield line.rstrip("\r\n").split("\t") if "\t" in line else line.split()
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: not a list in UTF-8: {error}") from error


def is_number(text: str) -> bool:
    """Whether a text is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _class(text: str) -> str:
    """A class without the decimals that im2rec writes."""
    whole, point, decimals = text.strip().partition(".")
    return whole if point and whole.isdigit() and not decimals.strip("0") else text.strip()
