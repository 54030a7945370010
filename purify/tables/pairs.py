"""Verification pairs: read from a file, matched with the image roots, and divided into folds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from purify.errors import InputError
from purify.storage.locations import Location
from purify.tables.pair_files import read_pair_list

_FOLDS = 10
_SHOWN = 3


@dataclass(frozen=True)
class Pairs:
    """P pairs of images `a` and `b`, by their names in the image roots."""

    #: Name of the file that lists them.
    file: str
    a: tuple[str, ...]
    b: tuple[str, ...]
    #: Person of each side: the name of the image's folder, None without one.
    person_a: tuple[str | None, ...]
    person_b: tuple[str | None, ...]
    #: bool[P]
    same: npt.NDArray[np.bool_]
    #: int64[P]; each fold is measured at the threshold of the others.
    fold: npt.NDArray[np.int64]
    #: Number of pairs in the file.
    given: int
    #: Number of pairs without both images in the roots.
    missing: int

    def take(self, mask: npt.NDArray[np.bool_]) -> Pairs:
        """The pairs where ``mask[P]`` is true."""
        rows = np.flatnonzero(mask).tolist()
        return replace(
            self,
            a=tuple(self.a[row] for row in rows),
            b=tuple(self.b[row] for row in rows),
            person_a=tuple(self.person_a[row] for row in rows),
            person_b=tuple(self.person_b[row] for row in rows),
            same=self.same[mask],
            fold=self.fold[mask],
        )


def read_pairs(path: Location, names: Iterable[str], *, prefix: str | None = None) -> Pairs:
    """Read a pairs file.

    Forms: LFW's text (``name i j`` for a same pair, ``name i name j`` for a different one, separated by tabs;
    line 1 may be View 2's ``folds pairs``, the development sets' ``pairs``, or a pair), and CSV or Parquet with
    the columns ``a``, ``b`` (names of images), ``same`` and perhaps ``fold``.

    Pairs without folds get ten, each a tenth of the same and of the different pairs, in the file's order; for
    the standard files (ten blocks, half of each same) these are the blocks.

    `names` are those of all images in the image roots. In LFW's form, `prefix` is the folder of the people's folders
    in the roots, ``""`` for the roots themselves; None: the folder with the most pairs. InputError, naming the line or
    row, if the file is malformed; if its images are in no root, or their folder is ambiguous; if the pairs are all of
    one kind.
    """
    known = set(names)
    listed = read_pair_list(path, known, prefix=prefix)
    same = np.array(listed.same, dtype=bool)
    there = np.array([a in known and b in known for a, b in zip(listed.a, listed.b, strict=True)], dtype=bool)
    if not there.any():
        lost = [name for pair in zip(listed.a, listed.b, strict=True) for name in pair if name not in known]
        raise InputError(
            f"{path}: none of its {len(there)} pairs has both images in the image roots; missing: "
            f"{', '.join(dict.fromkeys(lost[:_SHOWN]))}"
        )
    pairs = Pairs(
        file=path.name,
        a=tuple(listed.a),
        b=tuple(listed.b),
        person_a=tuple(map(person_of, listed.a)),
        person_b=tuple(map(person_of, listed.b)),
        same=same,
        fold=new_folds(same) if listed.fold is None else np.array(listed.fold, dtype=np.int64),
        given=len(same),
        missing=int((~there).sum()),
    ).take(there)
    if pairs.same.all() or not pairs.same.any():
        kind = "same" if pairs.same.all() else "different"
        raise InputError(f"{path}: all {len(pairs.a)} pairs with images are {kind} pairs; both kinds are needed")
    return pairs


def new_folds(same: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Folds ``int64[P]``: at most ten, each a contiguous share of the same and of the different pairs."""
    fold = np.zeros(len(same), dtype=np.int64)
    folds = max(1, min(_FOLDS, int(same.sum()), int((~same).sum())))
    for kind in (same, ~same):
        fold[kind] = folds * np.arange(kind.sum()) // max(1, kind.sum())
    return fold


def person_of(name: str) -> str | None:
    """Person of an image: the name of its folder; None without one."""
    folder = name.rpartition("/")[0]
    return folder.rpartition("/")[2] or None
