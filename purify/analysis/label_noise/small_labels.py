"""Labels of few images, judged jointly by which of their images agree.

Every subset of a label's images may be those of its person. The evidence for a subset is how much more probable its
images are as one person's than as different people's. The images outside of it are wrong, or right but unrecognizable.
The probabilities of all subsets give that of each image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from purify.analysis.identities.plda import IdentityModel
from purify.analysis.label_noise.comparison import NEAREST, Comparison
from purify.analysis.label_noise.gallery import Gallery
from purify.analysis.label_noise.same_person import SamePerson
from purify.analysis.threaded_search import map_blocks
from purify.arrays import Floats, Ids, Mask, Vectors

#: Labels of up to this many images are judged jointly: 2^6 subsets.
MOST_IMAGES = 6
#: Labels at a time; few, so that what is computed of them stays in the cache.
_LABELS = 256
#: Stands in for the squared length of a mean of opposite vectors.
_TINY = 1e-12


@dataclass(frozen=True)
class ImageSets:
    """All subsets of the images of L labels of n images: ``rows[L, n]``, and ``log_ratio[L, 2^n]`` of each subset.

    Bit i of a subset's number stands for column i; subsets of fewer than two images have a log ratio of 0.
    """

    rows: Ids
    log_ratio: Floats

    def p_clean(self, rate: Floats, hardness: Floats, wrong: Floats) -> Floats:
        """Probability [L, n] of each label.

        Takes the noise rate, the share of unrecognizable images among right ones, and the log ratio of a wrong label,
        of all N images.
        """
        share, hard, odds = rate[self.rows], hardness[self.rows], wrong[self.rows]
        right_but_hard = np.log1p(-share) + np.log(hard)
        outside = np.logaddexp(right_but_hard, np.log(share) + odds)
        inside = np.log1p(-share) + np.log1p(-hard)
        member = _members(self.rows.shape[1]).astype(np.float64)
        log_weight = self.log_ratio + inside @ member.T + outside @ (1 - member).T
        weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
        agrees = (weight / weight.sum(axis=1, keepdims=True)) @ member
        p_clean: Floats = agrees + (1 - agrees) * np.exp(right_but_hard - outside)
        return p_clean


def image_sets(gallery: Gallery, same_person: SamePerson, sizes: Ids) -> list[ImageSets]:
    """Compare the images of all labels of up to 6 images, given their ``sizes[C]``."""
    order = np.argsort(gallery.label_index, kind="stable")
    starts = np.concatenate([[0], np.cumsum(sizes)])
    found = []
    for size in range(1, MOST_IMAGES + 1):
        labels = np.flatnonzero(sizes == size)
        if len(labels):
            rows = order[starts[labels][:, None] + np.arange(size)]
            found.append(ImageSets(rows, _log_ratios(gallery, same_person, rows)))
    return found


def _log_ratios(gallery: Gallery, same_person: SamePerson, rows: Ids) -> Floats:
    """Log ratio [L, 2^n] of each subset: one image after the other joins it, averaged over all orders."""
    joins = _joins(rows.shape[1])
    blocks = map_blocks(lambda at: _of_block(gallery, same_person, rows[at], joins), len(rows), _LABELS)
    return np.concatenate(blocks)


def _of_block(gallery: Gallery, same_person: SamePerson, rows: Ids, joins: list[_Join]) -> Floats:
    log_ratio = np.zeros((len(rows), 1 << rows.shape[1]))
    if not joins:
        return log_ratio
    alike = _Likeness.of(gallery.vectors[rows], gallery.model)
    found = Comparison.join([alike.compare(join.image, join.rest) for join in joins])
    images = np.concatenate([rows[:, join.image] for join in joins])
    added = same_person.log_ratio(images, gallery.label_index[images], found).reshape(len(joins), len(rows))
    for join, ratio in zip(joins, added, strict=True):
        before = log_ratio[:, join.subset & ~(1 << join.image)]
        log_ratio[:, join.subset] += (ratio + before) / (len(join.rest) + 1)
    return log_ratio


@dataclass(frozen=True)
class _Join:
    """An image joins the images `rest`: together they are `subset`."""

    subset: int
    image: int
    rest: list[int]


def _joins(images: int) -> list[_Join]:
    """All images that join one or more others, by ascending subset."""
    members = (np.flatnonzero(mask).tolist() for mask in _members(images))
    return [
        _Join(subset, image, [other for other in chosen if other != image])
        for subset, chosen in enumerate(members)
        if len(chosen) > 1
        for image in chosen
    ]


@dataclass(frozen=True)
class _Likeness:
    """Products of the images of L labels of n images, from which all comparisons within a label follow.

    ``cosine[L, n, n]``. The log ratio (`IdentityModel.log_ratio`) of an image and m others is ``alone[m][L, n]``, plus
    the mean of ``across[m][L, n, n]`` with the others, less half the mean of ``between[m][L, n, n]`` of the others.
    """

    cosine: Vectors
    alone: list[Floats]
    across: list[Floats]
    between: list[Floats]

    @classmethod
    def of(cls, vectors: Vectors, model: IdentityModel) -> _Likeness:
        """Of unit ``vectors[L, n, D]``."""
        coordinates = model.coordinates(vectors)
        alone, across, between = [], [], []
        for images in range(1, vectors.shape[1]):
            weights = model.products(images)
            alone.append(weights.constant + 0.5 * (coordinates**2 @ weights.own).astype(np.float64))
            across.append(_products(coordinates, weights.across))
            between.append(_products(coordinates, weights.between))
        return cls(np.matmul(vectors, vectors.transpose(0, 2, 1)), alone, across, between)

    def compare(self, image: int, rest: list[int]) -> Comparison:
        """Compare one image of each label with the `rest`."""
        at, count = np.ix_(rest, rest), len(rest)
        own = self.cosine[:, image, rest].astype(np.float64)
        length = np.sqrt(np.maximum(self.cosine[:, at[0], at[1]].sum(axis=(1, 2), dtype=np.float64), _TINY))
        nearest = np.sort(own, axis=1)[:, -NEAREST:].mean(axis=1)
        ratio = self.alone[count - 1][:, image] + self.across[count - 1][:, image, rest].mean(axis=1)
        ratio -= 0.5 * self.between[count - 1][:, at[0], at[1]].mean(axis=(1, 2))
        return Comparison(ratio, own.sum(axis=1) / length, nearest, np.full(len(own), float(count)))


def _products(coordinates: Vectors, weights: Vectors) -> Floats:
    """Weighted scalar products [L, n, n] of the images of each label."""
    return np.matmul(coordinates * weights, coordinates.transpose(0, 2, 1)).astype(np.float64)


def _members(size: int) -> Mask:
    """Membership [2^n, n] of each image in each subset."""
    return (np.arange(1 << size)[:, None] >> np.arange(size)) & 1 > 0
