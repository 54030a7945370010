"""The evidence that an image shows the same person as a set of images, measured on this data set.

Images are compared with random sets of 1 to 20 trusted images of their own label, and of other labels. A logistic
regression tells the two apart; its log odds are the logarithm of the ratio of their densities. Its terms let the ratio
depend on the number of images and on the quality of the image: one mate is less evidence than ten, and a blurred face
less than a sharp one.

Trusted images alone would be too much alike: the least like themselves among the right ones are not trusted. In noisy
sets of many labels, the doubted images count by what the trusted ones say of them, against several trusted mates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from purify.analysis.label_noise.comparison import Comparison, ImageTraits, compare_with_sets
from purify.analysis.label_noise.gallery import TRUSTED, Gallery
from purify.analysis.label_noise.logistic import Logistic, fit_logistic, sigmoid
from purify.analysis.threaded_search import map_blocks
from purify.arrays import Floats, Ids

#: Sizes of the sets, and draws for each.
_SIZES = (1, 2, 3, 4, 6, 9, 14, 20)
_DRAWS = 6000
#: Labels of more images are drawn no more often.
_MOST_IMAGES = 30
#: Comparisons at a time.
_BLOCK = 16_384
#: Minimum number of mates to compare a doubted image with, and minimum probability of its label.
_MATES, _LEAST_BELIEF = 4, 0.02
#: They count at most this share of the barely trusted images: the tail of the right ones has fewer images below the
#: threshold of trust than above it (0.1 to 0.25 times as many on faces). More are other people, whom a regression of
#: well separated images, bounded by its ridge, doesn't quite exclude; they would confirm themselves round by round.
_TAIL = 0.25
#: Minimum number of labels for it. Of few people, strangers are hardly told from the doubted images, and pull the
#: measure towards themselves: with 8 labels half of the strangers were kept.
_LABELS = 50
#: Minimum share of wrong labels for it. Of a nearly clean set, the doubted images are its few errors.
_NOISE = 0.05
#: Comparisons that one trusted image is worth, since many draws of few images don't make the measurement surer; and
#: their least number, lest the regression's ridge flatten what three labels show.
_WORTH, _LEAST_WEIGHT = 3.0, 1000.0


@dataclass(frozen=True)
class SamePerson:
    """Log ratio of the probabilities of a comparison for the same person, and for another one."""

    model: Logistic
    traits: ImageTraits

    def log_ratio(self, rows: Ids, labels: Ids, found: Comparison) -> Floats:
        """Log ratios [n] of a comparison of the images `rows` with images of the `labels`."""
        parts = map_blocks(
            lambda at: self.model.log_odds(self.traits.features(rows[at], labels[at], found.take(at))),
            len(rows),
            _BLOCK,
        )
        return np.concatenate(parts) if parts else np.zeros(0)


class NobodyTrustedError(ValueError):
    """No label has two images that are trusted to show its person."""


def fit_same_person(gallery: Gallery, belief: Floats, rng: Generator, own: Floats | None = None) -> SamePerson:
    """Measure it on the trusted images of `gallery`; ``belief[N]`` are the probabilities of their labels.

    ``own[N]`` are the log ratios with their own labels behind these beliefs, if any. The doubted images count by what
    the trusted ones alone say of them: by their own beliefs they would confirm themselves, more from round to round.

    NobodyTrustedError if no two trusted images have a label in common.
    """
    drawn = _Examples.draw(gallery, belief, rng)
    trusted = SamePerson(drawn.fit(belief), gallery.traits)
    if (1 - belief).mean() < _NOISE:
        return trusted
    doubted = _Doubted.of(gallery, _without_themselves(gallery, belief, own, trusted))
    if not len(doubted.rows) or (doubted.trusted >= _MATES).sum() < _LABELS:
        return trusted
    return SamePerson(drawn.join(gallery, doubted, rng).fit(doubted.belief), gallery.traits)


def _without_themselves(gallery: Gallery, belief: Floats, own: Floats | None, trusted: SamePerson) -> Floats:
    """Probabilities [N] of the labels, with the evidence of the trusted images alone."""
    if own is None:
        return belief
    rows, changed = np.flatnonzero((belief < TRUSTED) & (belief >= _LEAST_BELIEF)), belief.copy()
    alone = trusted.log_ratio(rows, gallery.label_index[rows], gallery.own.take(rows))
    odds = np.log(belief[rows] / (1 - belief[rows])) + np.minimum(alone - own[rows], 0)
    changed[rows] = sigmoid(odds)
    return changed


@dataclass(frozen=True)
class _Examples:
    """Features of comparisons of images with sets of their own label, and of another one.

    ``sets``: rows and mates of the former, by size, and the share that each counts.
    """

    sets: list[tuple[Ids, Ids, Floats]]
    same: list[Floats]
    other: Floats

    @classmethod
    def draw(cls, gallery: Gallery, belief: Floats, rng: Generator) -> _Examples:
        """Of trusted images, in sets of all sizes."""
        sets, same, other = [], [], []
        for size in _SIZES:
            rows, mates = _same_label(gallery.examples, size, rng)
            if len(rows):
                sets.append((rows, mates, np.ones(len(rows))))
                same.append(_features(gallery, rows, mates))
            rows, mates = _other_label(gallery.examples, gallery.label_index, size, rng)
            if len(rows):
                other.append(_features(gallery, rows, mates))
        if not same or not other:
            raise NobodyTrustedError
        return cls(sets, same, np.concatenate(other))

    def join(self, gallery: Gallery, doubted: _Doubted, rng: Generator) -> _Examples:
        """These, and each set of several mates once more with a doubted image of its label."""
        sets, same = list(self.sets), list(self.same)
        for rows, mates, _ in self.sets:
            if mates.shape[1] >= _MATES:
                joining, chosen, shares = doubted.join(rows, mates, gallery.label_index, rng)
                if len(joining):
                    sets.append((joining, chosen, shares))
                    same.append(_features(gallery, joining, chosen))
        return _Examples(sets, same, self.other)

    def fit(self, belief: Floats) -> Logistic:
        """The regression, weighted by the ``belief[N]`` in all images."""
        weight = np.concatenate(
            [share * np.minimum(belief[rows], belief[mates].min(axis=1)) for rows, mates, share in self.sets]
        )
        worth = max(_WORTH * float((belief >= TRUSTED).sum()), _LEAST_WEIGHT)
        weight *= min(1.0, worth / weight.sum())
        return fit_logistic(np.concatenate(self.same), weight, self.other)


@dataclass(frozen=True)
class _Doubted:
    """The doubted rows by label: of label c, ``rows[starts[c]]`` and the following ``count[c]``.

    ``trusted[c]``: number of its trusted images. ``belief[N]``: probabilities of the labels. ``share``: worth of each.
    """

    belief: Floats
    rows: Ids
    starts: Ids
    count: Ids
    trusted: Ids
    share: float

    @classmethod
    def of(cls, gallery: Gallery, belief: Floats) -> _Doubted:
        classes = len(gallery.examples)
        doubted = np.flatnonzero((belief < TRUSTED) & (belief >= _LEAST_BELIEF))
        rows = doubted[np.argsort(gallery.label_index[doubted], kind="stable")]
        count = np.bincount(gallery.label_index[rows], minlength=classes)
        trusted = np.bincount(gallery.label_index[belief >= TRUSTED], minlength=classes)
        barely = belief[(belief >= TRUSTED) & (belief <= 1 - _LEAST_BELIEF)].sum()
        share = min(1.0, _TAIL * float(barely) / max(float(belief[rows].sum()), _LEAST_BELIEF))
        return cls(belief, rows, np.cumsum(count) - count, count, trusted, share)

    def join(self, rows: Ids, mates: Ids, label_index: Ids, rng: Generator) -> tuple[Ids, Ids, Floats]:
        """Each set of `mates` with a doubted row of its label, if there is one, and their weights."""
        labels = label_index[rows]
        at = np.flatnonzero(self.count[labels])
        count = self.count[labels[at]]
        doubted = self.rows[self.starts[labels[at]] + (rng.random(len(at)) * count).astype(np.int64)]
        return doubted, mates[at], self.share * count / self.trusted[labels[at]]


def draw_pairs(examples: Ids, rng: Generator) -> tuple[Ids, Ids]:
    """Each of the ``examples[C, R]`` (-1: none) and a random other one of its label, if there is one."""
    keys = np.where(examples >= 0, rng.random(examples.shape), np.inf)
    shuffled = np.take_along_axis(examples, np.argsort(keys, axis=1), axis=1)
    count = (examples >= 0).sum(axis=1)
    place = np.arange(examples.shape[1])
    following = np.where(place + 1 < count[:, None], place + 1, 0)
    mates = np.take_along_axis(shuffled, following, axis=1)
    paired = (place < count[:, None]) & (count[:, None] > 1)
    return shuffled[paired], mates[paired]


def _features(gallery: Gallery, rows: Ids, mates: Ids) -> Floats:
    found = compare_with_sets(gallery.vectors, gallery.model, rows, mates)
    return gallery.traits.features(rows, gallery.label_index[mates[:, 0]], found)


def _same_label(examples: Ids, size: int, rng: Generator) -> tuple[Ids, Ids]:
    """Random images of a label, and sets of `size` others of it."""
    drawn = _draw_sets(examples, size + 1, rng)
    return drawn[:, 0], drawn[:, 1:]


def _other_label(examples: Ids, label_index: Ids, size: int, rng: Generator) -> tuple[Ids, Ids]:
    """Random images, and sets of `size` images of another label."""
    mates = _draw_sets(examples, size, rng)
    rows = rng.integers(0, len(label_index), len(mates))
    apart = label_index[rows] != label_index[mates[:, 0]]
    return rows[apart], mates[apart]


def _draw_sets(examples: Ids, size: int, rng: Generator) -> Ids:
    """Sets [n, size] of different images of one label; large labels are drawn more often."""
    count = (examples >= 0).sum(axis=1)
    labels = np.flatnonzero(count >= size)
    if not len(labels):
        return np.empty((0, size), np.int64)
    share = np.sqrt(np.minimum(count[labels], _MOST_IMAGES))
    drawn = examples[rng.choice(labels, _DRAWS, p=share / share.sum())]
    keys = np.where(drawn >= 0, rng.random(drawn.shape), np.inf)
    return np.take_along_axis(drawn, np.argsort(keys, axis=1)[:, :size], axis=1)
