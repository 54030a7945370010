"""Verification pairs: LFW's text form, or a table; and leaving out whom training has seen."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from purify.errors import InputError
from purify.manifest.io import open_parquet, readable, require_columns

_FOLDS = 10
_IMAGE_NUMBER = re.compile(r"^(?P<person>.+)_(?P<number>\d+)\.[A-Za-z]+$")


@dataclass(frozen=True)
class Pairs:
    """Pairs of images, by their names in the image roots.

    Attributes
    ----------
    a, b
        Names.
    person_a, person_b
        Identity of each side: the name of the image's folder.
    same
        bool[P]
    fold
        int64[P]; folds are cross-validated against each other.
    given
        Number of pairs in the file.
    missing
        Pairs whose images are not in the roots.
    """

    a: tuple[str, ...]
    b: tuple[str, ...]
    person_a: tuple[str, ...]
    person_b: tuple[str, ...]
    same: npt.NDArray[np.bool_]
    fold: npt.NDArray[np.int64]
    given: int
    missing: int

    def take(self, mask: npt.NDArray[np.bool_]) -> Pairs:
        """The pairs where `mask` is true."""

        def picked(names: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(name for name, wanted in zip(names, mask, strict=True) if wanted)

        return replace(
            self,
            a=picked(self.a),
            b=picked(self.b),
            person_a=picked(self.person_a),
            person_b=picked(self.person_b),
            same=self.same[mask],
            fold=self.fold[mask],
        )


def read_pairs(path: Path, names: Iterable[str], *, prefix: str | None = None) -> Pairs:
    """Read a pairs file.

    Forms: LFW's text (``Name i j`` for a same pair, ``Name1 i Name2 j`` for a different one, tab-separated, with
    or without the header line), and CSV or Parquet with ``a``, ``b`` (image names), ``same`` and perhaps ``fold``.

    Parameters
    ----------
    path
        The file.
    names
        All image names in the image roots.
    prefix
        LFW's form: the folder in the roots that holds the people's folders; None: found.

    Raises
    ------
    InputError
        Naming the line, if the file is malformed; or if none of its images is in the roots.
    """
    known = set(names)
    if path.suffix in (".csv", ".parquet"):
        a, b, same, fold = _read_table(path)
    else:
        a, b, same, fold = _read_lfw(path, known, prefix)
    there = np.array([x in known and y in known for x, y in zip(a, b, strict=True)], dtype=bool)
    if not there.any():
        raise InputError(f"{path}: none of its {len(a)} pairs has both images in the image roots (such as {a[0]})")
    pairs = Pairs(
        a=tuple(a),
        b=tuple(b),
        person_a=tuple(map(_person, a)),
        person_b=tuple(map(_person, b)),
        same=np.array(same, dtype=bool),
        fold=np.array(fold, dtype=np.int64),
        given=len(a),
        missing=int((~there).sum()),
    )
    return pairs.take(there)


def exclude_training(pairs: Pairs, *, sample_ids: Sequence[str], labels: Sequence[str]) -> tuple[Pairs, dict[str, Any]]:
    """Leave out pairs with a person or an image that training has seen, and count them.

    A person is seen if it is a label, or if the folder of a training image has its name: a stranger's face
    under a wrong label has been seen all the same.

    Raises
    ------
    InputError
        If no same or no different pair is left.
    """
    people = {*labels, *map(_person, sample_ids)}
    images = set(sample_ids)
    person = np.array([x in people or y in people for x, y in zip(pairs.person_a, pairs.person_b, strict=True)])
    image = np.array([x in images or y in images for x, y in zip(pairs.a, pairs.b, strict=True)])
    left = pairs.take(~(person | image))
    counts = {
        "given": pairs.given,
        "missing": pairs.missing,
        "excluded_identity": int(person.sum()),
        "excluded_image": int((image & ~person).sum()),
        "used": len(left.a),
        "same": int(left.same.sum()),
        "different": int((~left.same).sum()),
    }
    if not left.same.any() or left.same.all():
        raise InputError(
            f"pairs: of {pairs.given}, {counts['used']} are left without people of the training set; "
            "both same and different pairs are needed, so give pairs of other people"
        )
    return left, counts


def _person(name: str) -> str:
    parts = name.rsplit("/", 2)
    return parts[-2] if len(parts) > 1 else ""


def _read_table(path: Path) -> tuple[list[str], list[str], list[bool], list[int]]:
    if path.suffix == ".parquet":
        with open_parquet(path) as file:
            columns = file.schema_arrow.names
            require_columns(path, columns, ["a", "b", "same"])
            rows = pq.read_table(path).to_pylist()
    else:
        with readable(path), path.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            require_columns(path, reader.fieldnames or [], ["a", "b", "same"])
            rows = list(reader)
    if not rows:
        raise InputError(f"{path}: no pairs")
    same = [_truth(row["same"], path, number) for number, row in enumerate(rows, start=1)]
    if "fold" in rows[0]:
        fold = [_fold(row["fold"], path, number) for number, row in enumerate(rows, start=1)]
    else:
        fold = [_FOLDS * i // len(rows) for i in range(len(rows))]
    return [row["a"] for row in rows], [row["b"] for row in rows], same, fold


def _fold(value: object, path: Path, row: int) -> int:
    if not str(value).isdigit():
        raise InputError(f"{path}: row {row}: fold is {value!r}, expected a number")
    return int(str(value))


def _truth(value: object, path: Path, row: int) -> bool:
    known = {"1": True, "true": True, "0": False, "false": False}
    text = str(value).lower()
    if text not in known:
        raise InputError(f"{path}: row {row}: same is {value!r}, expected 1/0 or true/false")
    return known[text]


def _read_lfw(path: Path, names: set[str], prefix: str | None) -> tuple[list[str], list[str], list[bool], list[int]]:
    with readable(path):
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: neither LFW's text form nor a .csv or .parquet table") from error
    header = lines[0].split() if lines else []
    has_header = len(header) in (1, 2) and all(word.isdigit() for word in header)
    body = lines[1:] if has_header else lines
    images = _images_by_person(path, names, prefix)
    a, b, same = [], [], []
    for number, line in enumerate(body, start=1 + len(lines) - len(body)):
        fields = line.split("\t") if "\t" in line else line.split()
        match fields:
            case [person, i, j] if i.isdigit() and j.isdigit():
                sides = ((person, int(i)), (person, int(j)))
            case [first, i, second, j] if i.isdigit() and j.isdigit():
                sides = ((first, int(i)), (second, int(j)))
            case []:
                continue
            case _:
                raise InputError(f"{path}: line {number}: {line[:60]!r}: expected `name i j` or `name i name j`")
        a.append(images.get(sides[0], f"{sides[0][0]}/{sides[0][0]}_{sides[0][1]:04d}"))
        b.append(images.get(sides[1], f"{sides[1][0]}/{sides[1][0]}_{sides[1][1]:04d}"))
        same.append(len(fields) == 3)
    if not a:
        raise InputError(f"{path}: no pairs")
    # View 2 says how many folds of equal size follow; the development forms (one number or none) have none.
    folds = int(header[0]) if has_header and len(header) == 2 else _FOLDS
    return a, b, same, [folds * i // len(a) for i in range(len(a))]


def _images_by_person(path: Path, names: set[str], prefix: str | None) -> dict[tuple[str, int], str]:
    """``(person, number) -> name`` for names ``[folder/]person/person_0001.jpg`` in one folder of the roots."""
    found: dict[str, dict[tuple[str, int], str]] = defaultdict(dict)
    for name in names:
        folder, _, file = name.rpartition("/")
        above, _, person = folder.rpartition("/")
        if (match := _IMAGE_NUMBER.match(file)) and match["person"] == person:
            found[above][person, int(match["number"])] = name
    if prefix is not None:
        if prefix.strip("/") not in found:
            raise InputError(f"{path}: no <person>/<person>_0001.jpg in the folder {prefix!r} of the image roots")
        return found[prefix.strip("/")]
    if not found:
        raise InputError(f"{path}: no image root holds <person>/<person>_0001.jpg, as this file's form needs")
    return max(found.values(), key=len)
