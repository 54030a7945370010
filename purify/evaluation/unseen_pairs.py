"""Verification pairs of people not seen in training."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from purify.errors import InputError
from purify.tables.pairs import Pairs, new_folds, person_of


def exclude_training(
    pairs: Pairs, *, sample_ids: Sequence[str], labels: Sequence[str], seen: Collection[str] = ()
) -> tuple[Pairs, dict[str, Any]]:
    """Leave out pairs with a person or an image seen in training, and count them.

    A person counts as seen if they are a label or the folder of a training image: a face under a wrong label was seen
    as well. `seen` are images of the pairs that are those of the training set under other ids. Folds that are left
    with one kind of pair are joined; if only one would remain, the pairs are folded anew. InputError if fewer than two
    pairs of a kind remain.

    The counts: ``file``, ``given`` = ``missing`` + ``excluded_identity`` + ``excluded_image`` (of other people) +
    ``used``; of the used ones ``same``, ``different``, ``without_identity`` (in no folder, so only the image could be
    compared) and the number of ``folds``.
    """
    people = {*labels, *map(person_of, sample_ids)} - {None}
    images = {*sample_ids, *seen}
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
    """Folds ``int64[P]`` from 0, each with both kinds of pair: a fold that lacks one is joined with the next.

    The last is joined with the one before. Where that is impossible, a single fold remains.
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
    return joined if joined.any() else new_folds(same)
