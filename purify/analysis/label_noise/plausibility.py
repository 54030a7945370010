"""A check of the probabilities without any selection: whether a label's pairs are as alike as they imply.

Of meaningless embeddings, the few images of a label that are alike by chance are taken for right ones. All pairs of its
images tell: they are no more alike than those of different labels. Of weak embeddings the same few are taken although
all pairs are somewhat alike.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from purify.analysis.label_noise.mode_seeking import cosines_between
from purify.analysis.search import row_cosines
from purify.arrays import Floats, Ids, Vectors

_PAIRS = 20_000
#: Tolerated ratio of the separation seen and that implied, and a margin. The ratio is 0.97 to 1.07 on faces, 1.37 with
#: flips among look-alikes, and 0.5 or 4 with weak embeddings.
_RATIO, _MARGIN = 1.5, 0.05
#: Minimum implied share of pairs of one person: with less, two thirds of the labels would be wrong.
_LEAST_IMPLIED = 0.1


def is_plausible(vectors: Vectors, label_index: Ids, p_clean: Floats, rng: Generator) -> bool:
    """Whether the pairs of unit ``vectors[N, D]`` under one label are as separate as ``p_clean[N]`` implies.

    Separation: twice the area under the ROC curve of the cosines of pairs of one label against those of two, less 1. It
    is the share of pairs of one person where these are separate, and 0 where labels mean nothing. With few pairs of one
    person left, there is nothing to compare.
    """
    first, second = _pairs_of_a_label(label_index, rng)
    other = rng.integers(0, len(label_index), (2, _PAIRS))
    different = cosines_between(vectors, label_index, *other)
    if not len(first) or not len(different):
        return True
    same = row_cosines(vectors, first, vectors, second)
    seen = 2 * float(np.searchsorted(np.sort(different), same).mean()) / len(different) - 1
    implied = float((p_clean[first] * p_clean[second]).mean())
    error = 1 / np.sqrt(min(len(label_index), len(first)))
    consistent = implied / _RATIO <= seen + error and seen <= _RATIO * implied + _MARGIN + error
    return bool(consistent and implied >= _LEAST_IMPLIED)


def _pairs_of_a_label(label_index: Ids, rng: Generator) -> tuple[Ids, Ids]:
    """Random pairs of different images of one label."""
    order = np.argsort(label_index, kind="stable")
    size = np.bincount(label_index)
    start = np.cumsum(size) - size
    rows = rng.integers(0, len(order), _PAIRS)
    label = label_index[order[rows]]
    several = size[label] > 1
    rows, label = rows[several], label[several]
    step = 1 + (rng.random(len(rows)) * (size[label] - 1)).astype(np.int64)
    mates = start[label] + (rows - start[label] + step) % size[label]
    return order[rows], order[mates]
