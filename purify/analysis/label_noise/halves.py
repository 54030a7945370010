"""The two halves of a set of images: how alike they are tells one person from two.

Two people whose images stand under one label may be alike enough for one dense region to hold both. But a line between
them divides their images into halves less alike than those of one person's images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from purify.analysis.label_noise.mode_seeking import Groups, stack
from purify.analysis.search import unit
from purify.arrays import Floats, Ids, Mask, Vectors

#: Minimum number of images of a half, since the cohesion of two is chance, and of labels to tell how alike people are.
_LEAST_HALF, _LEAST_LABELS = 3, 12
#: Images of a set that are halved; the others join the nearer half.
_MOST_IMAGES = 200
_ITERATIONS, _TINY = 6, 1e-12
#: Numbers of the sets that are halved at a time.
_BLOCK_VALUES = 1 << 22
#: Pairs of labels to measure how alike different people are.
_PAIRS = 20_000
#: Quantile of the similarity of halves that stands for one person, however many of the labels show two.
_USUAL = 0.9
#: Ratio of the 99 % quantile of a normal distribution to that of 95 %.
_RARE_TO_SELDOM = 2.326 / 1.645


@dataclass(frozen=True)
class Halves:
    """Unit `centers` [2, D] of the two halves of a set, and their `similarity` (of `Groups`)."""

    centers: Vectors
    similarity: float

    def is_second(self, rows: Vectors) -> Mask:
        """Whether each of the unit ``rows[n, D]`` is nearer to the second center."""
        second: Mask = rows @ self.centers[1] > rows @ self.centers[0]
        return second


def halves_of(rows: Vectors) -> Halves | None:
    """The halves of the unit ``rows[n, D]`` by 2-means; None if one of them would have fewer than three rows."""
    if len(rows) < 2 * _LEAST_HALF:
        return None
    chosen = rows[_chosen(np.arange(len(rows)))]
    similarity, second = _halve(chosen[None])
    if np.isnan(similarity[0]):
        return None
    centers = unit(np.stack([chosen[~second[0]].mean(axis=0), chosen[second[0]].mean(axis=0)]))
    return Halves(centers, float(similarity[0]))


def similarity_of_halves(vectors: Vectors, members: Sequence[Ids]) -> Floats:
    """Similarity of the halves of each set of rows ``members[M]`` of the unit ``vectors[N, D]``; NaN without halves."""
    found = np.full(len(members), np.nan)
    chosen = [_chosen(own) for own in members]
    sizes = np.array([len(own) for own in chosen])
    for size in np.unique(sizes[sizes >= 2 * _LEAST_HALF]).tolist():
        alike = np.flatnonzero(sizes == size)
        for part in np.array_split(alike, -(-len(alike) * size * vectors.shape[1] // _BLOCK_VALUES)):
            found[part] = _halve(vectors[np.stack([chosen[at] for at in part.tolist()])])[0]
    return found


def _chosen(members: Ids) -> Ids:
    """At most `_MOST_IMAGES` of the members, evenly spaced."""
    if len(members) <= _MOST_IMAGES:
        return members
    return members[np.linspace(0, len(members) - 1, _MOST_IMAGES).astype(np.int64)]


def _halve(sets: Vectors) -> tuple[Floats, Mask]:
    """Similarity [M] of the halves of the unit ``sets[M, n, D]``, NaN without halves, and the rows of the smaller half.

    2-means of directions on the cosines alone, from the two sides of the longest axis.
    """
    cosines = (sets @ sets.transpose(0, 2, 1)).astype(np.float64)
    mean = cosines.mean(axis=2, keepdims=True)
    centered = cosines - mean - mean.transpose(0, 2, 1) + mean.mean(axis=1, keepdims=True)
    sides = np.stack([second := np.linalg.eigh(centered)[1][:, :, -1] > 0, ~second], axis=2)
    for _ in range(_ITERATIONS):
        sums = cosines @ sides
        length = np.sqrt(np.maximum((sums * sides).sum(axis=1, keepdims=True), _TINY))
        nearer = sums[:, :, 0] / length[:, :, 0] > sums[:, :, 1] / length[:, :, 1]
        sides = np.stack([nearer, ~nearer], axis=2)
    size, sums = sides.sum(axis=1).astype(np.float64), cosines @ sides
    across = (sums[:, :, 0] * sides[:, :, 1]).sum(axis=1) / np.maximum(size.prod(axis=1), 1)
    itself = np.einsum("mnn,mnk->mk", cosines, sides)
    within = ((sums * sides).sum(axis=1) - itself) / np.maximum(size * (size - 1), 1)
    halved = (size.min(axis=1) >= _LEAST_HALF) & (within > 0).all(axis=1)
    similarity = np.full(len(sets), np.nan)
    similarity[halved] = across[halved] / np.sqrt(within[halved].prod(axis=1))
    return similarity, np.where(size[:, :1] > size[:, 1:], sides[:, :, 1], sides[:, :, 0])


@dataclass(frozen=True)
class HalvesScale:
    """A set shows two people if its halves are less alike than `two_people`, one if at least as alike as `one_person`.

    NaN, if there was nothing to measure, or different people are as alike as the halves of one.
    """

    two_people: float
    one_person: float

    @classmethod
    def between(cls, different: float, similarities: Floats) -> HalvesScale:
        """From the similarity up to which sets are of two people, and the similarities of the halves of the classes.

        `two_people` is midway from the former to the usual halves of one person, `one_person` two thirds of the way.
        """
        found = similarities[np.isfinite(similarities)]
        usual = float(np.quantile(found, _USUAL)) if len(found) else float("nan")
        if not different < usual:
            return cls(float("nan"), float("nan"))
        return cls((different + usual) / 2, (different + 2 * usual) / 3)

    @property
    def same(self) -> float:
        """Similarity from which two groups show one person: midway from `one_person` to the 1 of random parts."""
        return (1 + self.one_person) / 2


def most_alike_classes(groups: Groups, a: Ids, b: Ids) -> float:
    """High quantile of the similarity of the classes ``a[n]`` and ``b[n]``.

    Extrapolated from the 95 % quantile as for a normal distribution: with few classes, a single duplicate label would
    otherwise set the quantile.
    """
    middle, most = np.nanquantile(groups.similarity(a, groups, b), [0.5, 0.95])
    return float(middle + (most - middle) * _RARE_TO_SELDOM)


def without_second_people(vectors: Vectors, label_index: Ids, classes: int, dense: Mask) -> Mask:
    """The images ``dense[N]`` without the smaller half of a class, if it shows the person of another class.

    Of a second person without a class, images can't tell whom the label means, nor that it isn't another look.

    Parameters
    ----------
    vectors, label_index
        [N, D]: centered unit vectors; [N]: the class of each, in [0, `classes`).
    dense
        Whether an image is in the densest region of its class.
    """
    members = _members(label_index, classes, dense)
    if len(members) < _LEAST_LABELS:
        return dense
    groups = stack(vectors[own] for own in members)
    similarity = similarity_of_halves(vectors, members)
    scale = HalvesScale.between(most_alike_classes(groups, *_pairs_of(len(members))), similarity)
    kept = dense.copy()
    for number in np.flatnonzero(similarity < scale.two_people).tolist():
        own, halves = members[number], halves_of(vectors[members[number]])
        assert halves is not None
        second = halves.is_second(vectors[own])
        smaller = own[second if 2 * second.sum() <= len(own) else ~second]
        alike = stack([vectors[smaller]]).similarity(np.zeros(len(members), np.int64), groups, np.arange(len(members)))
        kept[smaller] = not (np.delete(alike, number) >= scale.same).any()
    return kept


def _members(label_index: Ids, classes: int, dense: Mask) -> Sequence[Ids]:
    """The dense images of each class with enough of them."""
    rows = np.flatnonzero(dense)
    rows = rows[np.argsort(label_index[rows], kind="stable")]
    parts = np.split(rows, np.searchsorted(label_index[rows], np.arange(1, classes)))
    return [own for own in parts if len(own) >= 2 * _LEAST_HALF]


def _pairs_of(classes: int) -> tuple[Ids, Ids]:
    """Pairs of different classes, each class as often as the others."""
    every = np.arange(classes)
    steps = np.linspace(1, classes - 1, min(classes - 1, -(-_PAIRS // classes))).astype(np.int64)
    return np.tile(every, len(steps)), ((every + steps[:, None]) % classes).ravel()
