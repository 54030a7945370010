"""Lists of images in the field's test sets: MegaFace's, its noise lists, and MLFW's pairs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import numpy as np

from purify.errors import InputError
from purify.storage.files import local_file, readable
from purify.storage.locations import Location
from purify.tables.pair_files import PairList
from purify.tables.pairs import person_of

_MLFW_NAME = re.compile(r"(?P<person>.+?)_[0-9]{4}(_[0-9]{4})?\.[A-Za-z0-9]+")


def read_image_list(path: Location) -> list[str]:
    """Names of images, one a line; lines that begin with # are comments. InputError if there are none."""
    names = list(_lines(path))
    if not names:
        raise InputError(f"{path}: no names of images")
    return names


def read_listed_people(path: Location) -> tuple[list[str], list[str]]:
    """Names of images, and their people: the folder of each. InputError for a name without one, or listed twice."""
    names = read_image_list(path)
    people = [person_of(name) or "" for name in names]
    if "" in people:
        raise InputError(f"{path}: {names[people.index('')]}: no folder tells whose image it is (PERSON/IMAGE)")
    if len(set(names)) < len(names):
        twice = next(name for name, count in Counter(names).items() if count > 1)
        raise InputError(f"{path}: {twice}: listed twice, so that it would be found by itself")
    return names, people


def read_noise_list(path: Location) -> set[str]:
    """Names on a noise list, one a line, behind a number and a tab in some of them."""
    return {line.rpartition("\t")[2] for line in _lines(path)}


def is_noisy(name: str, noise: set[str]) -> bool:
    """Whether an image is on a noise list: by its file name (FaceScrub's), or its last three parts (MegaFace's)."""
    parts = name.split("/")
    return parts[-1] in noise or "/".join(parts[-3:]) in noise


def read_masked_pairs(path: Location) -> PairList:
    """Read MLFW's ``pairs.txt``: two names of images and 1 (one person) or 0 a line, in ten folds."""
    first, second, same = [], [], []
    for number, line in enumerate(_lines(path), start=1):
        parts = line.split()
        if len(parts) != 3 or parts[2] not in ("0", "1"):
            raise InputError(f"{path}: line {number}: expected two names of images and 1 or 0")
        first.append(parts[0])
        second.append(parts[1])
        same.append(parts[2] == "1")
    if not same:
        raise InputError(f"{path}: no pairs")
    fold = np.repeat(np.arange(10), [len(part) for part in np.array_split(np.arange(len(same)), 10)])
    return PairList(first, second, same, fold.tolist())


def person_of_masked(name: str) -> str | None:
    """Person of an image of MLFW, CALFW or CPLFW by its name, ``Person_0001_0002.jpg``; None for another name."""
    found = _MLFW_NAME.fullmatch(name.rpartition("/")[2])
    return found["person"] if found else None


def _lines(path: Location) -> Iterator[str]:
    with readable(path), local_file(path).open(encoding="utf-8-sig") as stream:
        try:
            yield from (line.strip() for line in stream if line.strip() and not line.startswith("#"))
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: not a list in UTF-8: {error}") from error
