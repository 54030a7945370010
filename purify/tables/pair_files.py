"""Files of verification pairs: LFW's text form, and tables."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from purify.errors import InputError
from purify.storage.files import is_text, local_file, open_parquet, read_columns, readable, require_columns
from purify.storage.locations import Location
from purify.tables.text_tables import csv_rows

_COLUMNS = ("a", "b", "same")
_NUMBER = re.compile(r"[0-9]{1,9}")
_NUMBERED_IMAGE = re.compile(r"(?P<person>.+)_(?P<number>[0-9]{1,9})\.[A-Za-z0-9]+")
_TRUTHS = {"1": True, "true": True, "0": False, "false": False}
_SHOWN = 3

#: A person and the number of an image, as in LFW's form.
Side = tuple[str, int]


@dataclass(frozen=True)
class PairList:
    """Contents of a file: names `a[P]` and `b[P]` of images, `same[P]`, and `fold[P]` if the file has folds."""

    a: Sequence[str]
    b: Sequence[str]
    same: Sequence[bool]
    fold: Sequence[int] | None


def read_pair_list(path: Location, names: set[str], *, prefix: str | None) -> PairList:
    """Read a pairs file of any known form; see `purify.tables.pairs.read_pairs`."""
    suffix = path.suffix.lower()
    if suffix in _TABLE_READERS:
        return _from_rows(path, _TABLE_READERS[suffix](path))
    return _read_lfw(path, names, prefix)


def _read_parquet(path: Location) -> list[dict[str, Any]]:
    with open_parquet(path) as file:
        columns = file.schema_arrow.names
        require_columns(path, columns, _COLUMNS)
        wanted = [*_COLUMNS, "fold"] if "fold" in columns else _COLUMNS
        table = read_columns(path, file, wanted)
    for field in table.schema:
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if not (is_text(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind)):
            raise InputError(f"{path}: column {field.name!r} is {kind}, expected text, numbers or true/false")
    return table.to_pylist()


def _read_csv(path: Location) -> list[dict[str, Any]]:
    rows = csv_rows(path)
    header = next(rows)
    require_columns(path, header, _COLUMNS)
    return [dict(zip(header, row, strict=True)) for row in rows]


_TABLE_READERS = {".csv": _read_csv, ".parquet": _read_parquet}


def _from_rows(path: Location, rows: Sequence[Mapping[str, Any]]) -> PairList:
    if not rows:
        raise InputError(f"{path}: no pairs")
    numbered = list(enumerate(rows, start=1))
    for number, row in numbered:
        for side in ("a", "b"):
            if not isinstance(row[side], str) or not row[side]:
                raise InputError(f"{path}: row {number}: {side} is {row[side]!r}, expected the name of an image")
    return PairList(
        a=[row["a"] for row in rows],
        b=[row["b"] for row in rows],
        same=[_truth(path, number, row["same"]) for number, row in numbered],
        fold=[_fold(path, number, row["fold"]) for number, row in numbered] if "fold" in rows[0] else None,
    )


def _truth(path: Location, row: int, value: object) -> bool:
    text = str(value).lower()
    if text not in _TRUTHS:
        raise InputError(f"{path}: row {row}: same is {value!r}, expected 1/0 or true/false")
    return _TRUTHS[text]


def _fold(path: Location, row: int, value: object) -> int:
    if not _NUMBER.fullmatch(str(value)):
        raise InputError(f"{path}: row {row}: fold is {value!r}, expected a number; or leave out the column")
    return int(str(value))


def _read_lfw(path: Location, names: set[str], prefix: str | None) -> PairList:
    with readable(path):
        try:
            lines = local_file(path).read_text(encoding="utf-8-sig").split("\n")
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: neither LFW's text form nor a .csv or .parquet table") from error
    header = lines[0].split()
    has_header = len(header) in (1, 2) and all(map(_NUMBER.fullmatch, header))
    rows = list(_lfw_rows(path, lines, first=1 if has_header else 0))
    if not rows:
        raise InputError(f"{path}: no pairs")
    fold = _lfw_folds(path, header, len(rows)) if has_header and len(header) == 2 else None
    folders = _images_by_folder(names)
    folder = _choose_folder(path, [(a, b) for a, b, _ in rows], folders, prefix)
    images = folders[folder]
    return PairList(
        a=[images.get(a) or _lfw_name(a, folder) for a, _, _ in rows],
        b=[images.get(b) or _lfw_name(b, folder) for _, b, _ in rows],
        same=[same for _, _, same in rows],
        fold=fold,
    )


def _lfw_rows(path: Location, lines: Sequence[str], *, first: int) -> Iterator[tuple[Side, Side, bool]]:
    for number, line in enumerate(lines[first:], start=first + 1):
        match line.rstrip().split("\t") if "\t" in line else line.split():
            case [person, i, j] if _NUMBER.fullmatch(i) and _NUMBER.fullmatch(j):
                yield (person, int(i)), (person, int(j)), True
            case [person, i, other, j] if _NUMBER.fullmatch(i) and _NUMBER.fullmatch(j):
                yield (person, int(i)), (other, int(j)), False
            case [] | [""]:
                continue
            case _:
                raise InputError(f"{path}: line {number}: {line[:60]!r}: expected `name i j` or `name i name j`")


def _lfw_folds(path: Location, header: Sequence[str], count: int) -> list[int]:
    """Folds of View 2, whose header has the numbers of folds and of pairs of each kind per fold."""
    folds, per_kind = map(int, header)
    if folds * 2 * per_kind != count:
        raise InputError(
            f"{path}: line 1 announces {folds} folds of {per_kind} same and {per_kind} different pairs, but there are "
            f"{count} pairs; get the whole file, or remove line 1 to fold them anew"
        )
    return [folds * i // count for i in range(count)]


def _images_by_folder(names: set[str]) -> dict[str, dict[Side, str]]:
    """Folder -> (person, number) -> name, for all ``[folder/]person/person_0001.jpg``."""
    found: dict[str, dict[Side, str]] = defaultdict(dict)
    for name in sorted(names, reverse=True):  # of two suffixes the first by name wins, on every machine
        parent, _, file = name.rpartition("/")
        folder, _, person = parent.rpartition("/")
        if (match := _NUMBERED_IMAGE.fullmatch(file)) and match["person"] == person:
            found[folder][person, int(match["number"])] = name
    return found


def _choose_folder(
    path: Location, pairs: Sequence[tuple[Side, Side]], folders: Mapping[str, Mapping[Side, str]], prefix: str | None
) -> str:
    """The folder called `prefix`; without one, the folder that holds the most pairs."""
    wanted = ", ".join(dict.fromkeys(_lfw_name(side) for pair in pairs[:_SHOWN] for side in pair))
    if prefix is not None:
        if (folder := prefix.strip("/")) not in folders:
            there = ", ".join(map(repr, sorted(folders)[:_SHOWN]))
            raise InputError(
                f"{path}: the image roots hold no folder {prefix!r} with images such as {wanted}"
                + (f"; folders of that form: {there}" if there else "")
            )
        return folder
    held = {folder: sum(a in images and b in images for a, b in pairs) for folder, images in folders.items()}
    most = max(held.values(), default=0)
    if not most:
        raise InputError(
            f"{path}: no image root holds a pair of this file; expected images such as {wanted} (in any folder); "
            "add the root that has them"
        )
    best = sorted(folder for folder, count in held.items() if count == most)
    if len(best) > 1:
        raise InputError(
            f"{path}: {most} pairs are in each of the folders {', '.join(map(repr, best))} of the image roots; "
            "choose one by evaluate.pairs_prefix"
        )
    return best[0]


def _lfw_name(side: Side, folder: str = "") -> str:
    person, number = side
    return f"{folder}/{person}/{person}_{number:04d}.jpg".lstrip("/")
