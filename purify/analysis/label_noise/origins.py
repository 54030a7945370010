"""Where wrong images come from: from people without a label, from the people of other labels, or from look-alikes.

The person of a wrong image has a label of his own with some probability. Larger labels lose more images, and lose them
more often to the labels most like them, as far as this set shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from purify.analysis.label_noise.gallery import Gallery
from purify.analysis.search import MOST_EXACT_PAIRS, center_index, flat_index, pair_cosines
from purify.analysis.threaded_search import search_blocks
from purify.arrays import Floats, Ids, Vectors

#: Labels most like a label, and the ranks at which groups of them begin; a last group holds all other labels.
_NEIGHBORS = 20
_RANKS = np.array([0, 2, 5, 10])
_ELSEWHERE = len(_RANKS)
#: Group of each place among the neighbors.
_GROUPS = np.searchsorted(_RANKS, np.arange(_NEIGHBORS), side="right") - 1
#: Images from which the share of flips, and that of each group of ranks, start.
_PRIOR_FLIPS, _PRIOR_WRONG = 5.0, 10.0
_PRIOR_RANKED = 5.0
_LEAST_SHARE = 0.02
_LEAST_MASS = 0.5
_CHUNK = 4096
_TINY = 1e-12


@dataclass(frozen=True)
class Origins:
    """Share of flips among wrong images, and shares [5] of the groups of ranks among flips."""

    flip_share: float
    by_rank: Floats

    @classmethod
    def first(cls) -> Origins:
        """Before anything is measured."""
        ranked = np.full(_ELSEWHERE, 0.05)
        return cls(0.5, np.append(ranked, 1 - ranked.sum()))

    @classmethod
    def measured(cls, wrong: float, flips: FlipCounts, routes: Routes) -> Origins:
        """Origins of so many `wrong` images, of which `flips` come from other labels."""
        share = (flips.total + _PRIOR_FLIPS) / (wrong + _PRIOR_WRONG)
        found = flips.by_rank + _PRIOR_RANKED * routes.width / routes.width.sum()
        return cls(float(np.clip(share, _LEAST_SHARE, 1 - _LEAST_SHARE)), found / found.sum())


@dataclass(frozen=True)
class FlipCounts:
    """Expected number of flips, and of those of each group of ranks, ``by_rank[5]``."""

    total: float
    by_rank: Floats

    @classmethod
    def of(cls, claimed: Floats, ranks: npt.NDArray[np.int8]) -> FlipCounts:
        """Of images with probability ``claimed[n, R]`` of a flip from each claimant."""
        by_rank = np.bincount(ranks.ravel(), weights=claimed.ravel(), minlength=_ELSEWHERE + 1)
        return cls(float(claimed.sum()), by_rank.astype(np.float64))

    def __add__(self, others: FlipCounts) -> FlipCounts:
        return FlipCounts(self.total + others.total, self.by_rank + others.by_rank)


@dataclass(frozen=True)
class Routes:
    """The labels most like each label.

    ``neighbors[C, 20]``: nearest first, then -1. ``width[5]``: number of labels of each group of ranks.
    ``images[C]``: trusted images of each label.
    """

    neighbors: Ids
    width: Floats
    images: Floats

    @classmethod
    def of(cls, gallery: Gallery, sizes: Ids, before: Routes | None = None) -> Routes:
        """Routes between the labels of `gallery`, of ``sizes[C]`` images.

        Very many labels are not sought again: their neighbors are those of the routes `before`, in a new order.
        """
        present = np.flatnonzero(sizes > 0)
        if before is None or len(present) ** 2 <= MOST_EXACT_PAIRS:
            neighbors = _nearest_labels(gallery.centers, present)
        else:
            neighbors = _sorted_anew(gallery.centers, before.neighbors)
        others = len(present) - 1
        bounds = np.minimum(np.append(_RANKS, _NEIGHBORS), others)
        width = np.append(np.diff(bounds), max(others - _NEIGHBORS, 1)).astype(np.float64)
        return cls(neighbors, width, np.where(sizes > 0, np.maximum(gallery.images, _LEAST_MASS), 0))

    def rank(self, source: npt.NDArray[np.integer], given: Ids) -> npt.NDArray[np.int8]:
        """Group of ranks of the labels ``given[n]`` among the neighbors of ``source[n, R]``."""
        ranks = np.full(source.shape, _ELSEWHERE, np.int8)
        for start in range(0, len(source), _CHUNK):
            part = slice(start, start + _CHUNK)
            at, column, place = np.nonzero(self.neighbors[source[part]] == given[part, None, None])
            ranks[start + at, column] = _GROUPS[place]
        return ranks

    def draw_label(self, origins: Origins, source: Ids, rng: np.random.Generator) -> Ids:
        """A random label for a flip of each of ``source[n]``; the source itself at a dead end."""
        share = self.per_label(origins)
        among = share[_GROUPS].sum() if len(source) else 0.0
        present = np.flatnonzero(self.images > 0)
        anywhere = present[rng.integers(0, len(present), len(source))]
        nearby = rng.choice(_NEIGHBORS, len(source), p=share[_GROUPS] / max(among, _TINY))
        neighbor = self.neighbors[source, nearby]
        drawn = np.where(rng.random(len(source)) < among, neighbor, anywhere)
        return np.where(drawn >= 0, drawn, anywhere)

    def per_label(self, origins: Origins) -> Floats:
        """Share [5] of a label's flips that lands under a single label of each group of ranks."""
        return origins.by_rank / np.maximum(self.width, 1)

    def sources(self, origins: Origins) -> Sources:
        """Where flips come from."""
        share = self.per_label(origins)
        extra = self.images[:, None] * (share[_GROUPS] - share[_ELSEWHERE])
        there = self.neighbors >= 0
        arriving = np.bincount(self.neighbors[there], weights=extra[there], minlength=len(self.images))
        return Sources(self.images, share, arriving + share[_ELSEWHERE] * self.images.sum())


@dataclass(frozen=True)
class Sources:
    """Where flips come from.

    ``images[C]`` of each label, ``share[5]`` of its flips that lands under a single label of each group of ranks, and
    ``arriving[C]``: images of all labels, each counted by the share of its flips that lands under this one.
    """

    images: Floats
    share: Floats
    arriving: Floats

    def probability(self, source: npt.NDArray[np.integer], given: Ids, ranks: npt.NDArray[np.int8]) -> Floats:
        """Probability [n, R] that a flip under the label ``given[n]`` comes from ``source[n, R]``."""
        probability: Floats = self.images[source] * self.share[ranks] / self.arriving[given][:, None]
        return probability


def _nearest_labels(centers: Vectors, present: Ids) -> Ids:
    """The 20 `present` labels nearest to each, nearest first, [C, 20]; padded with -1."""
    own = centers[present]
    found = search_blocks(center_index(own, len(own)), own, min(_NEIGHBORS + 1, len(present)))[1]
    found = np.where(found == np.arange(len(present))[:, None], -1, found)
    order = np.argsort(found < 0, axis=1, kind="stable")[:, :_NEIGHBORS]
    nearest = np.take_along_axis(found, order, axis=1)
    neighbors = np.full((len(centers), _NEIGHBORS), -1, np.int64)
    neighbors[present, : nearest.shape[1]] = np.where(nearest >= 0, present[nearest], -1)
    return neighbors


def _sorted_anew(centers: Vectors, neighbors: Ids) -> Ids:
    """The same ``neighbors[C, 20]``, nearest first by these centers."""
    cosines = pair_cosines(flat_index(centers), centers, np.maximum(neighbors, 0))
    order = np.argsort(np.where(neighbors >= 0, -cosines, np.inf), axis=1, kind="stable")
    return np.take_along_axis(neighbors, order, axis=1)
