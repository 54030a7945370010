"""Verification pairs of photos in which a face was looked for in vain."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from purify.errors import InputError
from purify.evaluation.unseen_pairs import usable_folds, used_counts
from purify.tables.pairs import Pairs


def exclude_faceless(
    pairs: Pairs, counts: Mapping[str, Any], faceless: Collection[str]
) -> tuple[Pairs, dict[str, Any]]:
    """Leave out pairs with an image in `faceless`, and count them as ``no_face`` in the `counts` of `exclude_training`.

    InputError if fewer than two pairs of a kind remain.
    """
    gone = np.array([a in faceless or b in faceless for a, b in zip(pairs.a, pairs.b, strict=True)], bool)
    left = pairs.take(~gone)
    same = int(left.same.sum())
    if min(same, len(left.a) - same) < 2:
        raise InputError(
            f"{pairs.file}: of the {len(pairs.a)} pairs of people outside the training set, {int(gone.sum())} have an "
            "image without a usable face; two same and two different pairs are needed at least"
        )
    if gone.any():
        left = replace(left, fold=usable_folds(left.fold, left.same))
    return left, {**counts, **used_counts(left), "no_face": int(gone.sum())}
