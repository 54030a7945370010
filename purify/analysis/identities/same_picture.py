"""The same picture under two labels: at least one of the labels is wrong, or both are names of one person.

Found by the embeddings alone: pairs of images of different labels that are nearer to each other than chance explains.
The distances between the images of different people have a lower tail that follows a power law, whose exponent is the
number of dimensions in which they vary; it is measured on this very data set (Hill, 1975), and tells how many pairs as
near as a given one are expected among all pairs. Equal bytes need no such test.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from purify.analysis.near_pairs import NearPairs, equal_pictures
from purify.arrays import Floats, Ids, Mask

#: Pairs of trusted images under different labels on which the tail is measured.
_TAIL = 500
_LEAST_TAIL = 50
#: Maximum share of false findings.
_MOST_FALSE = 0.15
_TRUSTED = 0.5
#: Distance of equal embeddings, but for rounding: one picture for certain.
_EQUAL = 1e-6
_ROUNDS = 3


@dataclass(frozen=True)
class SamePictures:
    """Pairs of rows under different labels, ``first[P] < second[P]``, and the probability that both show one person."""

    first: Ids
    second: Ids
    p_same: Floats

    def contains(self, rows: Ids) -> Mask:
        """Mask [n] of the `rows` in a pair."""
        return np.isin(rows, np.concatenate([self.first, self.second]))

    def both_ways(self) -> tuple[Ids, Ids, Floats]:
        """Rows, their partners, and the probabilities, surest first: each pair twice, [2P]."""
        order = np.argsort(-np.tile(self.p_same, 2), kind="stable")
        ends = np.concatenate([self.first, self.second]), np.concatenate([self.second, self.first])
        return ends[0][order], ends[1][order], np.tile(self.p_same, 2)[order]


def find_same_pictures(near: NearPairs, label_index: Ids, p_clean: Floats, pictures: Ids | None = None) -> SamePictures:
    """Find pairs of images under different labels that are nearly the same.

    Parameters
    ----------
    near
        Pairs of the images nearest to each other.
    label_index
        [N]: label of each image; the same one for labels known to be one person.
    p_clean
        [N]: probability of each label. Wrong labels put images of one person under two labels; those that are known to
        be wrong don't count when measuring how near different people come.
    pictures
        [N]: equal numbers for equal bytes, -1 if unknown; None: all unknown.
    """
    trusted = p_clean >= _TRUSTED
    apart = label_index[near.first] != label_index[near.second]
    pairs = near.only(apart & trusted[near.first] & trusted[near.second])
    share = np.zeros(len(pairs.distance))
    differ = pairs.distance > _EQUAL  # ascending; one picture over and over would hide the tail
    others = pairs.only(differ)
    share[differ] = _share_of_chance(others, p_clean[others.first] * p_clean[others.second])
    p_same = 1 - share
    found = p_same >= 1 - _MOST_FALSE
    same = SamePictures(pairs.first[found], pairs.second[found], p_same[found])
    return same if pictures is None else _with_equal(same, pictures, label_index)


def _share_of_chance(pairs: NearPairs, weight: Floats) -> Floats:
    """Share of chance [P] among the pairs up to each distance, with their ``weight[P]``; 1 with too few to tell."""
    share = np.ones(len(pairs.distance))
    size = min(_TAIL, len(share) // 2)
    if size < _LEAST_TAIL:
        return share
    tail, limit = pairs.distance[:size], pairs.distance[size]
    found = np.cumsum(_of_new_images(pairs.first[:size], pairs.second[:size]))
    for _ in range(_ROUNDS):
        usual = share[:size] > _MOST_FALSE
        count = float(weight[:size][usual].sum())
        exponent = count / float((weight[:size] * np.log(limit / tail))[usual].sum())
        expected = count * (tail / limit) ** exponent
        so_far = np.minimum(1, expected / found)
        # The least share at this or a larger distance (Benjamini and Hochberg, 1995).
        share[:size] = np.minimum.accumulate(so_far[::-1])[::-1]
    return share


def _of_new_images(first: Ids, second: Ids) -> Mask:
    """Mask [P] of the pairs of two images that are in no pair before: one odd image may be near to several others."""
    seen: set[int] = set()
    new = np.zeros(len(first), np.bool_)
    for i, pair in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
        new[i] = seen.isdisjoint(pair)
        seen.update(pair)
    return new


def _with_equal(pairs: SamePictures, pictures: Ids, label_index: Ids) -> SamePictures:
    """Add pairs of equal bytes, which are certain."""
    first, second = equal_pictures(pictures, label_index)
    apart = label_index[first] != label_index[second]
    ends = np.concatenate([[first[apart], second[apart]], [pairs.first, pairs.second]], axis=1)
    p_same = np.concatenate([np.ones(int(apart.sum())), pairs.p_same])
    ends, once = np.unique(ends, axis=1, return_index=True)
    return SamePictures(ends[0], ends[1], p_same[once])
