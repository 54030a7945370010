"""The two halves of a set of images: how alike they are tells one person from two.

Two people whose images stand under one label may be alike enough for one dense region to hold both. But a line between
them divides their images into halves less alike than those of one person's images.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from purify.analysis.label_noise.mode_seeking import Groups, bisect, stack
from purify.arrays import Ids, Mask, Vectors

#: Minimum number of images of a half, since the cohesion of two is chance, and of labels to tell how alike people are.
_LEAST_HALF, _LEAST_LABELS = 3, 12
#: Images of a set that are halved; the others join the nearer half.
_MOST_IMAGES = 200
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
    chosen = rows if len(rows) <= _MOST_IMAGES else rows[np.linspace(0, len(rows) - 1, _MOST_IMAGES).astype(np.int64)]
    centers = bisect(chosen)
    if len(centers) < 2:
        return None
    second = chosen @ centers[1] > chosen @ centers[0]
    groups = stack([chosen[~second], chosen[second]])
    if groups.size.min() < _LEAST_HALF:
        return None
    return Halves(centers, float(groups.similarity(np.array([0]), groups, np.array([1]))[0]))


@dataclass(frozen=True)
class HalvesScale:
    """A set shows two people if its halves are less alike than `two_people`, one if at least as alike as `one_person`.

    NaN, if there was nothing to measure, or different people are as alike as the halves of one.
    """

    two_people: float
    one_person: float

    @classmethod
    def between(cls, different: float, similarities: Iterable[float]) -> HalvesScale:
        """From the similarity up to which sets are of two people, and the similarities of the halves of the classes.

        `two_people` is midway from the former to the usual halves of one person, `one_person` two thirds of the way.
        """
        found = [one for one in similarities if np.isfinite(one)]
        usual = float(np.quantile(found, _USUAL)) if found else float("nan")
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
    halved = [halves_of(vectors[own]) for own in members]
    different = most_alike_classes(groups, *_pairs_of(len(members)))
    scale = HalvesScale.between(different, [one.similarity for one in halved if one is not None])
    kept = dense.copy()
    for number, (own, halves) in enumerate(zip(members, halved, strict=True)):
        if halves is not None and halves.similarity < scale.two_people:
            second = halves.is_second(vectors[own])
            smaller = own[second if 2 * second.sum() <= len(own) else ~second]
            alike = stack([vectors[smaller]]).similarity(
                np.zeros(len(members), np.int64), groups, np.arange(len(members))
            )
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
