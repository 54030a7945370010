"""``labels.csv`` beside files whose samples carry class numbers: ``label_id,label``, a row for each class."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from purify.errors import InputError
from purify.tables.text_tables import csv_rows

FILE_NAME = "labels.csv"
HEADER = ("label_id", "label")


def read_class_names(folder: Path) -> Mapping[str, str] | None:
    """Class number, as text, -> name, from ``labels.csv`` in `folder`; None without such a file.

    A file of that name with other columns is none. InputError if a number or a name is missing or occurs twice.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        return None
    rows = csv_rows(path)
    if tuple(next(rows)) != HEADER:
        return None
    pairs = list(rows)
    numbers, names = {number for number, _ in pairs}, {name for _, name in pairs}
    if not len(numbers) == len(names) == len(pairs) or "" in names or not all(map(str.isdecimal, numbers)):
        raise InputError(f"{path}: each row must have another number and another label; mend it, or take it away")
    return dict(pairs)
