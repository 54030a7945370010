"""The evidence of a data set: each image against its own label and against those that claim it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from purify.analysis.label_noise.comparison import compare_with_sets
from purify.analysis.label_noise.gallery import CLAIMS, Gallery
from purify.analysis.label_noise.origins import Routes
from purify.analysis.label_noise.same_person import SamePerson, draw_pairs, fit_same_person
from purify.analysis.label_noise.small_labels import MOST_IMAGES, ImageSets, image_sets
from purify.arrays import Floats, Ids, Mask

#: Log ratio of a label that can't be the image's.
_IMPOSSIBLE = -80.0
_NEARLY = 1 - 1e-6
#: A label stands for nobody if less than this share of its images is trusted, and these are less alike than this share
#: of what is usual. Labels of one person may fall below one of the two, but hardly below both.
_FEW, _UNLIKE = 0.3, 0.5


@dataclass(frozen=True)
class Evidence:
    """Log ratios of the same person against another one.

    ``own[N]``: with the label's other images, of weight ``mates[N]``. ``claims[N, R]``: with the labels
    ``claimants[N, R]`` (-1: none). ``ranks[N, R]``: of the given label among the neighbors of the claimant.
    ``small``: all subsets of the small labels. ``nobody[N]``: whether the label stands for no person.
    """

    own: Floats
    mates: Floats
    claimants: npt.NDArray[np.int32]
    claims: Floats
    ranks: npt.NDArray[np.int8]
    routes: Routes
    small: list[ImageSets]
    nobody: Mask

    @cached_property
    def doubted_own(self) -> Floats:
        """Log ratio [N] with the label's other images, which may all be wrong."""
        return with_doubt(self.own, self.mates)

    def without(self, refused: Mask) -> Evidence:
        """The same without the claims ``refused[N, R]``."""
        return replace(self, claims=np.where(refused, _IMPOSSIBLE, self.claims)) if refused.any() else self


def weigh(
    gallery: Gallery,
    belief: Floats,
    sizes: Ids,
    rng: np.random.Generator,
    suspects: Mask,
    own: Floats | None = None,
    before: Routes | None = None,
) -> Evidence:
    """Compare all images of `gallery`; ``belief[N]`` are the probabilities of their labels so far.

    Of the labels ``suspects[C]`` it is asked whether they stand for a person at all. ``own[N]`` are the log
    ratios behind the beliefs, and `before` the routes, if any.
    """
    same_person = fit_same_person(gallery, belief, rng, own)
    routes = Routes.of(gallery, sizes, before)
    claimants = gallery.claims.labels
    nobody = suspects & _stands_for_nobody(gallery, same_person, sizes, rng)
    claims = _claims(gallery, same_person)
    claims[nobody[claimants]] = _IMPOSSIBLE
    return Evidence(
        same_person.log_ratio(np.arange(len(claimants)), gallery.label_index, gallery.own),
        gallery.own.images,
        claimants,
        claims,
        routes.rank(np.maximum(claimants, 0), gallery.label_index),
        routes,
        image_sets(gallery, same_person, sizes),
        nobody[gallery.label_index],
    )


def _stands_for_nobody(gallery: Gallery, same_person: SamePerson, sizes: Ids, rng: np.random.Generator) -> Mask:
    """Mask [C] of labels without a person, such as those of an empty image search.

    Their mean is the average face, near to everybody. But few of their images are near to it, and two of these are less
    alike than two images of one person.
    """
    rows, mates = draw_pairs(gallery.examples, rng)
    labels = gallery.label_index[rows]
    found = compare_with_sets(gallery.vectors, gallery.model, rows, mates[:, None])
    pairs = np.maximum(np.bincount(labels, minlength=len(sizes)), 1)
    alike = np.bincount(labels, weights=same_person.log_ratio(rows, labels, found), minlength=len(sizes)) / pairs
    several = sizes > MOST_IMAGES
    usual = np.median(alike[several]) if several.any() else 0.0
    return several & (gallery.images < _FEW * sizes) & (alike < _UNLIKE * usual)


def _claims(gallery: Gallery, same_person: SamePerson) -> Floats:
    claimants = gallery.claims.labels
    claims: Floats = np.full(claimants.shape, _IMPOSSIBLE)
    for place in range(CLAIMS):
        rows = np.flatnonzero(claimants[:, place] >= 0)
        found = gallery.claims.comparison.take((rows, place))
        log_ratio = same_person.log_ratio(rows, claimants[rows, place], found)
        claims[rows, place] = with_doubt(log_ratio, found.images)
    return claims


def with_doubt(log_ratio: Floats, images: Floats) -> Floats:
    """Log ratio with images that may all be wrong: then they are no evidence."""
    trust = np.clip(images, 1 - _NEARLY, _NEARLY)
    return np.logaddexp(np.log1p(-trust), np.log(trust) + log_ratio)
