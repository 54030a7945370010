"""Verification pairs, and leaving out whom training has seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from purify.errors import InputError
from purify.evaluation.pair_files import read_pair_list
from purify.storage.locations import Location

_FOLDS = 10
_SHOWN = 3


@dataclass(frozen=True)
class Pairs:
    """P pairs of images, by their names in the image roots.

    Attributes
    ----------
    file
        Name of the file that lists them.
    a, b
        Names.
    person_a, person_b
        Identity of each side: the name of the image's folder, None where it has none.
    same
        bool[P]
    fold
        int64[P]; each fold is judged at the threshold of the others.
    given
        Number of pairs in the file.
    missing
        Pairs whose images are not both in the roots.
    """

    file: str
    a: tuple[str, ...]
    b: tuple[str, ...]
    person_a: tuple[str | None, ...]
    person_b: tuple[str | None, ...]
    same: npt.NDArray[np.bool_]
    fold: npt.NDArray[np.int64]
    given: int
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
    the field's own files (ten blocks, half of each same) these are the blocks.

    Parameters
    ----------
    path
        The file.
    names
        All image names in the image roots.
    prefix
        LFW's form: the folder in the roots that holds the people's folders, ``""`` for the roots themselves;
        None: the one that holds the most pairs.

    Raises
    ------
    InputError
        Naming the line or row, if the file is malformed; if its images are in no root, or the folder that holds
        them is not clear; if the pairs are all of one kind.
    """
    known = set(names)
    listed = read_pair_list(path, known, prefix=prefix)
    same = np.array(listed.same, dtype=bool)
    there = np.array([a in known and b in known for a, b in zip(listed.a, listed.b, strict=True)], dtype=bool)
    if not there.any():
        lost = [name for pair in zip(listed.a, listed.b, strict=True) for name in pair if name not in known]
        raise InputError(
            f"{path}: none of its {len(there)} pairs has both images in the image roots; not there: "
            f"{', '.join(dict.fromkeys(lost[:_SHOWN]))}"
        )
    pairs = Pairs(
        file=path.name,
        a=tuple(listed.a),
        b=tuple(listed.b),
        person_a=tuple(map(_person, listed.a)),
        person_b=tuple(map(_person, listed.b)),
        same=same,
        fold=_new_folds(same) if listed.fold is None else np.array(listed.fold, dtype=np.int64),
        given=len(same),
        missing=int((~there).sum()),
    ).take(there)
    if pairs.same.all() or not pairs.same.any():
        kind = "same" if pairs.same.all() else "different"
        raise InputError(f"{path}: all {len(pairs.a)} pairs with images are {kind} pairs; both kinds are needed")
    return pairs


def exclude_training(pairs: Pairs, *, sample_ids: Sequence[str], labels: Sequence[str]) -> tuple[Pairs, dict[str, Any]]:
    """Leave out pairs with a person or an image that training has seen, and count them.

    A person is seen if it is a label, or if the folder of a training image has its name: a stranger's face
    under a wrong label has been seen all the same. Folds that are left with one kind of pair are joined;
    where only one would remain, they are made anew.

    Returns
    -------
    tuple[Pairs, dict]
        The pairs left, and ``file``, ``given`` = ``missing`` + ``excluded_identity`` + ``excluded_image`` (of other
        people) + ``used``; of the used ones ``same``, ``different``, ``without_identity`` (in no folder, so only
        the image could be compared) and the number of ``folds``.

    Raises
    ------
    InputError
        If fewer than two pairs of a kind are left.
    """
    people = {*labels, *map(_person, sample_ids)} - {None}
    images = set(sample_ids)
    person = np.array([x in people or y in people for x, y in zip(pairs.person_a, pairs.person_b, strict=True)])
    image = np.array([x in images or y in images for x, y in zip(pairs.a, pairs.b, strict=True)])
    left = pairs.take(~(person | image))
    left = replace(left, fold=_usable_folds(left.fold, left.same))
    folds = len(np.unique(left.fold))
    counts = {
        "file": pairs.file,
        "given": pairs.given,
        "missing": pairs.missing,
        "excluded_identity": int(person.sum()),
        "excluded_image": int((image & ~person).sum()),
        "used": len(left.a),
        "same": int(left.same.sum()),
        "different": int((~left.same).sum()),
        "without_identity": sum(None in sides for sides in zip(left.person_a, left.person_b, strict=True)),
        "folds": folds,
    }
    if folds < 2:
        raise InputError(
            f"{pairs.file}: of {pairs.given} pairs, {counts['same']} same and {counts['different']} different ones "
            "are left without people of the training set; two folds with both kinds are needed, so give pairs of "
            "other people"
        )
    return left, counts


def join_folds(fold: npt.NDArray[np.int64], same: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Folds ``int64[P]`` from 0, each with both kinds of pair: what lacks one is joined with the next fold.

    The last joins the one before. A single fold is left where that can't be done.
    """
    joined = np.zeros_like(fold)
    current, kinds = 0, set()
    for value in np.unique(fold):
        inside = fold == value
        joined[inside] = current
        kinds |= set(same[inside].tolist())
        if len(kinds) == 2:
            current, kinds = current + 1, set()
    return np.minimum(joined, max(current - 1, 0))


def _usable_folds(fold: npt.NDArray[np.int64], same: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    joined = join_folds(fold, same)
    return joined if joined.any() else _new_folds(same)


def _new_folds(same: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    fold = np.zeros(len(same), dtype=np.int64)
    folds = max(1, min(_FOLDS, int(same.sum()), int((~same).sum())))
    for kind in (same, ~same):
        fold[kind] = folds * np.arange(kind.sum()) // max(1, kind.sum())
    return fold


def _person(name: str) -> str | None:
    folder = name.rpartition("/")[0]
    return folder.rpartition("/")[2] or None
