"""Pairs drawn from labeled images, for sets that come without a list of pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from purify.arrays import Ids
from purify.errors import InputError
from purify.evaluation.verification import Folds, Same


@dataclass(frozen=True, eq=False)
class DrawnPairs:
    """P pairs ``rows[P, 2]``, whether of one person, and their fold."""

    rows: Ids
    same: Same
    fold: Folds


def draw_pairs(person: Ids, most: int, *, seed: int, folds: int = 10) -> DrawnPairs:
    """Draw `most` pairs of one person, or as many as there are, and as many of two people, half and half in each fold.

    For a same pair, a person is drawn and then two images; for a different one, two people and an image of each: people
    with many images don't count for more. InputError without two people, or without two images of one.
    """
    rng = np.random.default_rng(seed)
    order = np.argsort(person, kind="stable")
    of_person = np.split(order, np.flatnonzero(np.diff(person[order])) + 1)
    repeated = [rows for rows in of_person if len(rows) > 1]
    if len(of_person) < 2 or not repeated:
        raise InputError("pairs need two people, and two images of one of them")
    within = {tuple(sorted(rng.choice(repeated[k], 2, replace=False))) for k in rng.integers(len(repeated), size=most)}
    same = sorted(within)
    different = []
    for _ in same:
        first, second = rng.choice(len(of_person), 2, replace=False)
        different.append((rng.choice(of_person[first]), rng.choice(of_person[second])))
    fold = np.arange(len(same)) * folds // len(same)
    rows = np.concatenate([rng.permutation(np.array(same)), np.array(different)]).astype(np.int64)
    return DrawnPairs(rows, np.arange(len(rows)) < len(same), np.tile(fold, 2).astype(np.int64))


def first_images(person: Ids) -> Ids:
    """Row of the first image of each person who has two or more."""
    _, first, count = np.unique(person, return_index=True, return_counts=True)
    return first[count > 1].astype(np.int64)
