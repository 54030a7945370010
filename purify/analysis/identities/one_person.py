"""Likelihood ratio of the images of two labels showing one person or two, for labels of any size.

Measured on this very data set, by the number of images in the smaller set. Two parts of a real label show how alike the
sets of one person are: about normal, with heavy tails. A part of a label and its nearest *other* label show how alike
two people can be: an exponential tail. The nearest one already pays for the number of comparisons.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from purify.analysis.class_rows import ImageGroups
from purify.analysis.identities.set_comparison import ImageSets, Rivals, SetComparison
from purify.arrays import Floats, Ids

#: Prior probability that the nearest other label of a label is the same person.
PRIOR = 0.005
#: Larger one for a pair to be left out when measuring how alike two people can be.
_SUSPICION = 0.1
#: Number of parts of real labels to compare, and images of the largest part.
_PARTS = 3000
LARGEST_PART = 9
_ROUNDS = 5
#: Quantile where the tail of two people begins, and a lower one for a first fit that duplicate labels hardly move.
_UPPER, _MIDDLE = 0.8, 0.5
#: Degrees of freedom of the likeness of one person's sets: turned or aged faces are farther than normal ones (t-test).
_FREEDOM = 4.0
#: Minimum number of values for a statistic.
_LEAST_VALUES = 100
_TINY = 1e-6


@dataclass(frozen=True)
class Candidates:
    """Pairs of sets, ``first[P] < second[P]``, and the logarithm of p(faces | one person) / p(faces | two people)."""

    first: Ids
    second: Ids
    log_ratio: Floats


@dataclass(frozen=True)
class _OnePerson:
    """Mean and deviation of the likeness of two sets, [n] for n images in the smaller one."""

    mean: Floats
    deviation: Floats

    @classmethod
    def of(cls, likeness: Floats, size: Ids) -> _OnePerson:
        """Measure on two parts each of real labels."""
        mean = _by_size(np.mean, likeness, size)
        # Of a normal distribution, the mean distance is sqrt(2 / pi) deviations.
        distance = _by_size(np.mean, np.abs(likeness - mean[size]), size)
        return cls(mean, np.maximum(distance * math.sqrt(math.pi / 2), _TINY))

    def log_density(self, likeness: Floats, size: Ids) -> Floats:
        """Logarithm of the density; beyond the mean, that at the mean: nothing is too alike."""
        deviation = self.deviation[size]
        below = np.minimum(likeness - self.mean[size], 0) / deviation
        return -0.5 * (_FREEDOM + 1) * np.log1p(below**2 / _FREEDOM) - np.log(deviation) - 0.5 * math.log(2 * math.pi)


@dataclass(frozen=True)
class _TwoPeople:
    """Start and scale of the exponential tail of the likeness, [n] for n images in the smaller set."""

    start: Floats
    scale: Floats

    @classmethod
    def of(cls, likeness: Floats, size: Ids, one_person: _OnePerson) -> _TwoPeople:
        """Measure on sets and the nearest other label of each, some of which may be the same person."""
        start, middle = (_by_size(partial(np.quantile, q=q), likeness, size) for q in (_UPPER, _MIDDLE))
        tail = cls(start, np.maximum((start - middle) / math.log(_MIDDLE / (1 - _UPPER)), _TINY))
        usual = one_person.log_density(likeness, size) + math.log(_SUSPICION)
        for _ in range(_ROUNDS):
            two = usual < tail.log_density(likeness, size)
            tail = cls._fitted(likeness[two], size[two])
        return tail

    @classmethod
    def _fitted(cls, likeness: Floats, size: Ids) -> _TwoPeople:
        """Maximum likelihood: the scale is the mean excess over the start."""
        start = _by_size(partial(np.quantile, q=_UPPER), likeness, size)
        over = likeness - start[size]
        return cls(start, np.maximum(_by_size(np.mean, over[over > 0], size[over > 0]), _TINY))

    def log_density(self, likeness: Floats, size: Ids) -> Floats:
        """Logarithm of the density; below the start of the tail, that at the start."""
        over = np.maximum(likeness - self.start[size], 0) / self.scale[size]
        return np.log((1 - _UPPER) / self.scale[size]) - over


def one_person_candidates(members: ImageGroups, rng: np.random.Generator) -> Candidates:
    """Compare the sets ``members`` of centered unit vectors, each with the sets nearest to it."""
    comparison = SetComparison.of(members)
    sets = comparison.sets
    rivals = comparison.rivals(sets, np.arange(len(members)))
    own, parts = _draw_parts(members, comparison, rng)
    of_parts = [comparison.rivals(part, own) for part in parts]
    background = np.maximum(of_parts[0].background, of_parts[1].background)
    one_person = _OnePerson.of(comparison.log_ratio(*parts) - background, _images(parts[0].size))
    few = np.flatnonzero(sets.size <= LARGEST_PART)
    nearest = [_nearest(of_parts[0], rivals), _nearest(rivals, rivals)[few]]
    images = _images(np.concatenate([parts[0].size, sets.size[few]]))
    two_people = _TwoPeople.of(np.concatenate(nearest), images, one_person)
    first, second, likeness = _pairs(rivals)
    size = _images(np.minimum(sets.size[first], sets.size[second]))
    log_ratio = one_person.log_density(likeness, size) - two_people.log_density(likeness, size)
    return Candidates(first, second, log_ratio)


def _draw_parts(
    members: ImageGroups, comparison: SetComparison, rng: np.random.Generator
) -> tuple[Ids, tuple[ImageSets, ImageSets]]:
    """Labels [S], and two disjoint parts of each, the first one not the larger one."""
    own = rng.permutation(np.resize(np.flatnonzero(members.size > 1), _PARTS))
    parts: tuple[list[Ids], list[Ids]] = ([], [])
    for label in own.tolist():
        rows = rng.permutation(members.members[label])
        few = int(rng.integers(1, min(LARGEST_PART, len(rows) // 2) + 1))
        more = int(rng.integers(few, min(LARGEST_PART, len(rows) - few) + 1))
        parts[0].append(rows[:few])
        parts[1].append(rows[few : few + more])
    first, second = (ImageSets.of(ImageGroups(members.vectors, part), comparison.model) for part in parts)
    return own, (first, second)


def _likeness(asked: Rivals, rivals: Rivals) -> Floats:
    """Likeness [G, K] of sets and their candidates: the excess over the larger background."""
    likeness: Floats = asked.log_ratio - np.maximum(asked.background[:, None], rivals.background[asked.found])
    return likeness


def _nearest(asked: Rivals, rivals: Rivals) -> Floats:
    """Likeness [G] of sets and the other label most like each."""
    nearest: Floats = _likeness(asked, rivals).max(axis=1)
    return nearest


def _pairs(rivals: Rivals) -> tuple[Ids, Ids, Floats]:
    """All pairs of a set and a candidate, each once, with their likeness."""
    at, column = np.nonzero(rivals.found >= 0)
    ends = np.sort([at, rivals.found[at, column]], axis=0)
    ends, once = np.unique(ends, axis=1, return_index=True)
    return ends[0], ends[1], _likeness(rivals, rivals)[at[once], column[once]]


def _images(size: Floats) -> Ids:
    """Numbers of images to look up."""
    return np.clip(size, 1, LARGEST_PART).astype(np.int64)


def _by_size(statistic: Callable[[Floats], float], values: Floats, size: Ids) -> Floats:
    """`statistic` of the `values` of each size up to the largest one, interpolated where they are few."""
    count = np.bincount(size, minlength=LARGEST_PART + 1)
    enough = np.flatnonzero(count >= min(_LEAST_VALUES, count.max()))
    return np.interp(np.arange(LARGEST_PART + 1), enough, [float(statistic(values[size == n])) for n in enough])
