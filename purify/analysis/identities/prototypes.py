"""Searchable prototypes of the classes, and a test of whether chance explains a similar group.

Wrong labels cluster: several images of one frequent person may land in a class by chance. So a group similar to
another class must be larger than chance explains (Poisson, corrected for the number of comparisons).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import faiss
import numpy as np

from purify.analysis.label_noise.mode_seeking import Groups
from purify.analysis.search import cosine_index, row_chunks, unit
from purify.arrays import Floats, Ids

#: Chance groups and chance merges that are tolerated in a whole data set.
_FALSE_GROUPS = 0.01
_CANDIDATES = 6


@dataclass(frozen=True)
class Prototypes:
    """The dominant groups ``groups[i]`` of the classes ``labels[i]`` that have one, to be searched.

    ``share[i]`` is the class's share of all rows, ``larger[i]`` the number of classes that are at least as large.
    """

    labels: Ids
    groups: Groups
    share: Floats
    larger: Ids
    index: faiss.Index

    @classmethod
    def of(cls, labels: Ids, groups: Groups, sizes: Ids) -> Prototypes:
        """Of the dominant groups of the classes `labels`; ``sizes[C]`` counts the rows of every class."""
        own = sizes[labels]
        larger = len(sizes) - np.searchsorted(np.sort(sizes), own)
        return cls(labels, groups, own / sizes.sum(), larger, cosine_index(unit(groups.mean)))

    def alike(self, groups: Groups) -> tuple[Ids, Floats]:
        """The nearest classes, as positions in `labels`, and their similarity; both [G, `_CANDIDATES`].

        Where there are no more the position is -1 and the similarity NaN.
        """
        found = np.full((len(groups.size), _CANDIDATES), -1, np.int64)
        for chunk in row_chunks(len(found)):
            width = min(_CANDIDATES, len(self.labels))
            found[chunk, :width] = self.index.search(unit(groups.mean[chunk]), width)[1]
        similarity = groups.similarity(np.repeat(np.arange(len(found)), _CANDIDATES), self.groups, found.ravel())
        return found, np.where(found >= 0, similarity.reshape(found.shape), np.nan)

    def by_chance(self, images: int, wrong: int, alike: Ids) -> bool:
        """Whether wrong labels explain that `images` of `wrong` rows of a class show the people `alike`.

        Wrong labels bring each person as often as the data set has images of it. Every class and every person
        who is at least as frequent could have been the coincidence.
        """
        if not len(alike):
            return False
        tail = poisson_tail(images, wrong * float(self.share[alike].sum()))
        return tail * len(self.larger) * float(self.larger[alike].min()) > _FALSE_GROUPS


def poisson_tail(count: int, rate: float) -> float:
    """Upper bound of the probability of at least `count` where `rate` are expected."""
    if count <= rate:
        return 1.0
    log_term = count * math.log(rate) - rate - math.lgamma(count + 1) if rate > 0 else -math.inf
    return min(1.0, math.exp(log_term) / (1 - rate / (count + 1)))
