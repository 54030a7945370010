"""People who are in two labeled sets under whatever names, by the centers of their images.

Two centers are compared by their cosine in the coordinates of a two-covariance PLDA (`purify.analysis.identities.plda`)
with the total variance made white: axes count by how well they tell people apart. The cosine is then taken relative to
how close both are to others: less the mean of the cosines to their nearest other people of both sets (cross-domain
similarity local scaling; Conneau et al., ICLR 2018). An extractor that sees few people of a group crowds them together,
so that strangers there have cosines of a person elsewhere. The same measure in the extractor's own coordinates is added
with a quarter of the weight.

The threshold comes from the data. Different labels of one set are different people, so the largest scores within A and
within B show how scores of strangers fall off; an exponential tail is fitted below the very largest, which may be one
person under two names, and gives the number of false pairs to expect among all comparisons of A with B. The threshold
is the least at which it is at most a given share of the pairs found (Benjamini and Hochberg, 1995). Pairs that are not
each other's nearest claim one person under two labels of a set; they are rarer, so they have a threshold of their own.

On real faces this found more shared people than the log ratio of the two sets of images under the same model, and than
the plain cosine of the means (docs/how-to/overlap.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from purify.analysis.identities.plda import fit_identities
from purify.analysis.identities.stranger_tail import StrangerTail, sure_pairs
from purify.analysis.label_noise.centering import centered
from purify.analysis.label_noise.leave_one_out import class_sums
from purify.analysis.search import cosine_index, row_cosines, unit
from purify.analysis.threaded_search import search_blocks
from purify.arrays import Floats, Ids, Mask, Vectors
from purify.errors import InputError

#: Nearest other people whose mean cosine is subtracted.
_COHORT = 20
#: Minimum people in both sets together: fewer have no neighborhood and no tail.
LEAST_PEOPLE = 6
#: Weight of the extractor's own coordinates: they err elsewhere than the white ones, which rest on a fit.
_PLAIN_WEIGHT = 0.25
_EVIDENCE = 3
_MOST_ROWS = 1000


@dataclass(frozen=True)
class LabeledSet:
    """Finite ``embeddings[N, D]`` of one extractor; ``label_index[N]`` in 0..C-1, each class with at least one row."""

    embeddings: Vectors
    label_index: Ids

    @property
    def classes(self) -> int:
        """Number of labels C."""
        return int(self.label_index.max(initial=-1)) + 1


@dataclass(frozen=True)
class SharedPeople:
    """Pairs of labels ``a[P]``, ``b[P]`` of one person, surest first.

    `cosine` is that of the centers, `score` the cosine relative to both neighborhoods; ``expected_false[P]`` counts the
    strangers to expect at that score or a larger one, among `comparisons`. ``mutual[P]`` tells whether the two are each
    other's nearest. ``evidence[i]`` has row numbers [2, k] of A and of B, of the most similar images of the two.
    `thresholds` are the least scores found of mutual and of other pairs; None without any.
    """

    a: Ids
    b: Ids
    cosine: Floats
    score: Floats
    expected_false: Floats
    mutual: Mask
    evidence: tuple[Ids, ...]
    thresholds: tuple[float | None, float | None]
    comparisons: int
    tail: StrangerTail


def find_shared_people(a: LabeledSet, b: LabeledSet, *, false_share: float = 0.01) -> SharedPeople:
    """Find the people in both sets; at most `false_share` of the pairs are expected to be false.

    InputError if the embeddings differ in length, or there are too few labels to measure anything.
    """
    if a.embeddings.shape[1] != b.embeddings.shape[1]:
        lengths = f"{a.embeddings.shape[1]} and {b.embeddings.shape[1]}"
        raise InputError(f"the embeddings of A and B have lengths {lengths}; both must be of one extractor")
    if a.classes + b.classes < LEAST_PEOPLE:
        people = a.classes + b.classes
        raise InputError(f"A and B have {people} labels, too few to measure a threshold; give {LEAST_PEOPLE} or more")
    vectors = centered(np.concatenate([a.embeddings, b.embeddings])).vectors
    label = np.concatenate([a.label_index, b.label_index + a.classes])
    crowds = [_Crowd.of(centers, a.classes) for centers in _centers(vectors, label, a.classes + b.classes)]
    crowd = crowds[0]
    tail = _fit_tail(crowds)
    pairs = crowd.pairs(across=True)
    score = _scores(crowds, pairs)
    order = np.lexsort((pairs[1], pairs[0], -score))
    pairs, score = pairs[:, order], score[order]
    comparisons = a.classes * b.classes
    expected, mutual = tail.expected(score, comparisons), _mutual(pairs)
    found = _sure(expected, mutual, false_share) | _sure(expected, ~mutual, false_share)
    first, second = pairs[:, found]
    split = vectors[: len(a.label_index)], vectors[len(a.label_index) :]
    return SharedPeople(
        a=first,
        b=second - a.classes,
        cosine=crowd.cosines(pairs[:, found]).astype(np.float64),
        score=score[found],
        expected_false=expected[found],
        mutual=mutual[found],
        evidence=_evidence(a.label_index, b.label_index, split, first, second - a.classes),
        thresholds=(_least(score[found & mutual]), _least(score[found & ~mutual])),
        comparisons=comparisons,
        tail=tail,
    )


def _mutual(pairs: Ids) -> Mask:
    """Whether the people of each pair [2, n], sorted by falling score, are each other's nearest."""
    nearest = np.ones(pairs.shape[1], bool)
    for people in pairs:
        first = np.zeros(len(people), bool)
        first[np.unique(people, return_index=True)[1]] = True
        nearest &= first
    return nearest


def _sure(expected: Floats, among: Mask, false_share: float) -> Mask:
    """The most pairs of a group for which the number of strangers to expect is a small enough share of their number."""
    rows = np.flatnonzero(among)
    sure = np.zeros(len(expected), bool)
    sure[rows[: sure_pairs(expected[rows], false_share)]] = True
    return sure


def _least(scores: Floats) -> float | None:
    return float(scores[-1]) if len(scores) else None


def _centers(vectors: Vectors, label: Ids, classes: int) -> tuple[Vectors, Vectors]:
    """Unit centers [C, d] of the classes in coordinates of white total variance, and in those of the extractor."""
    weights = np.ones(len(label))
    model = fit_identities(vectors, label, weights, classes)
    means = class_sums(vectors, label, weights, classes).means()
    return unit(model.coordinates(means) / np.sqrt(1 + model.psi)), unit(means)


def _scores(crowds: Sequence[_Crowd], pairs: Ids) -> Floats:
    """Scores of the pairs [2, n] in both coordinates, added."""
    white, plain = (crowd.scores(pairs) for crowd in crowds)
    total: Floats = (white + _PLAIN_WEIGHT * plain) / (1 + _PLAIN_WEIGHT)
    return total


@dataclass(frozen=True)
class _Crowd:
    """Centers [P, d] of the people of both sets, the first `first` of them A's, and the nearest others of each.

    ``near[P, k]`` are those of both sets, nearest first; ``own[P, k]`` and ``other[P, k]`` those of its own and of the
    other set; padded with -1. ``near_cosine`` belongs to `near`.
    """

    centers: Vectors
    first: int
    own: Ids
    other: Ids
    near: Ids
    near_cosine: Vectors

    @classmethod
    def of(cls, centers: Vectors, first: int) -> _Crowd:
        """Search the neighbors in each set."""
        parts = (slice(0, first), slice(first, len(centers)))
        found = [_search(centers, part) for part in parts]
        in_a = (np.arange(len(centers)) < first)[:, None]
        own = np.where(in_a, found[0][0], found[1][0])
        other = np.where(in_a, found[1][0], found[0][0])
        every, cosine = np.hstack([found[0][0], found[1][0]]), np.hstack([found[0][1], found[1][1]])
        order = np.argsort(-cosine, axis=1, kind="stable")[:, : _COHORT + 1]
        near, near_cosine = np.take_along_axis(every, order, axis=1), np.take_along_axis(cosine, order, axis=1)
        return cls(centers, first, own, other, near, near_cosine)

    def pairs(self, *, across: bool) -> Ids:
        """Pairs [2, n], each once: people near each other, of two sets or of one."""
        near = self.other if across else self.own
        at, column = np.nonzero(near >= 0)
        found: Ids = np.unique(np.sort([at, near[at, column]], axis=0), axis=1)
        return found

    def cosines(self, pairs: Ids) -> Vectors:
        """Cosines of the pairs [2, n]."""
        return row_cosines(self.centers, pairs[0], self.centers, pairs[1])

    def scores(self, pairs: Ids) -> Floats:
        """Cosine less the mean cosine of the two to their nearest others, of the pairs [2, n]."""
        crowded = 0.5 * (self._crowding(pairs[0], pairs[1]) + self._crowding(pairs[1], pairs[0]))
        scores: Floats = self.cosines(pairs) - crowded
        return scores

    def _crowding(self, people: Ids, partner: Ids) -> Floats:
        """Mean cosine of each of the `people` to its nearest others, without the partner."""
        counted = self.near[people] >= 0
        counted &= self.near[people] != partner[:, None]
        counted &= np.cumsum(counted, axis=1) <= _COHORT
        total = np.where(counted, self.near_cosine[people], 0).sum(axis=1, dtype=np.float64)
        return total / np.maximum(counted.sum(axis=1), 1)


def _search(centers: Vectors, part: slice) -> tuple[Ids, Vectors]:
    """The nearest centers among those of `part` to every center except itself: numbers and cosines, padded with -1."""
    cosine, found = search_blocks(cosine_index(centers[part]), centers, _COHORT + 2)
    found = np.where(found >= 0, found + part.start, -1)
    itself = found == np.arange(len(centers))[:, None]
    order = np.argsort(itself, axis=1, kind="stable")[:, : _COHORT + 1]
    gone = np.take_along_axis(itself, order, axis=1)
    return (
        np.where(gone, -1, np.take_along_axis(found, order, axis=1)),
        np.where(gone, -np.inf, np.take_along_axis(cosine, order, axis=1)).astype(np.float32),
    )


def _fit_tail(crowds: Sequence[_Crowd]) -> StrangerTail:
    """Tail of the scores of different people of one set."""
    crowd = crowds[0]
    in_b = len(crowd.centers) - crowd.first
    total = (crowd.first * (crowd.first - 1) + in_b * (in_b - 1)) // 2
    return StrangerTail.fit(_scores(crowds, crowd.pairs(across=False)), total)


def _evidence(label_a: Ids, label_b: Ids, vectors: tuple[Vectors, Vectors], a: Ids, b: Ids) -> tuple[Ids, ...]:
    """Row numbers [2, k] of the most similar images of each pair of labels, no image twice."""
    members = [_Members.of(label) for label in (label_a, label_b)]
    return tuple(
        _nearest_images(vectors, members[0].rows(left), members[1].rows(right))
        for left, right in zip(a.tolist(), b.tolist(), strict=True)
    )


def _nearest_images(vectors: tuple[Vectors, Vectors], rows_a: Ids, rows_b: Ids) -> Ids:
    cosines = vectors[0][rows_a] @ vectors[1][rows_b].T
    best = []
    for _ in range(min(_EVIDENCE, *cosines.shape)):
        i, j = np.unravel_index(int(cosines.argmax()), cosines.shape)
        best.append((rows_a[i], rows_b[j]))
        cosines[i, :] = cosines[:, j] = -np.inf
    return np.array(best, np.int64).T


@dataclass(frozen=True)
class _Members:
    """Rows sorted by class, and the first of each class."""

    order: Ids
    start: Ids

    @classmethod
    def of(cls, label: Ids) -> _Members:
        order = np.argsort(label, kind="stable")
        return cls(order, np.searchsorted(label[order], np.arange(label.max() + 2)))

    def rows(self, label: int) -> Ids:
        """Rows of a class, at most `_MOST_ROWS`, evenly spaced."""
        rows = self.order[self.start[label] : self.start[label + 1]]
        return rows[np.linspace(0, len(rows) - 1, min(len(rows), _MOST_ROWS)).astype(np.int64)]
