"""Searchable prototypes of the classes, and a test for groups that are similar by coincidence.

Wrong labels cluster: several images of one frequent person may land in a class by chance. So a group similar to
another class must be larger than chance explains (Poisson, corrected for the number of comparisons).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import faiss
import numpy as np

from purify.analysis.label_noise.mode_seeking import Groups
from purify.analysis.search import center_index, row_chunks, unit
from purify.arrays import Floats, Ids

#: Tolerated number of chance groups and chance merges in a data set.
_FALSE_GROUPS = 0.01
_CANDIDATES = 6


@dataclass(frozen=True)
class Prototypes:
    """An index of the dominant ``groups[i]`` of the classes ``labels[i]``.

    ``share[i]`` is the class's share of all rows, ``larger[i]`` the number of classes of at least its size.
    """

    labels: Ids
    groups: Groups
    share: Floats
    larger: Ids
    index: faiss.Index

    @classmethod
    def of(cls, labels: Ids, groups: Groups, sizes: Ids) -> Prototypes:
        """Build from the dominant groups of the classes `labels`; ``sizes[C]`` counts the rows of every class."""
        own = sizes[labels]
        larger = len(sizes) - np.searchsorted(np.sort(sizes), own)
        return cls(labels, groups, own / sizes.sum(), larger, center_index(unit(groups.mean), len(labels)))

    def alike(self, groups: Groups) -> tuple[Ids, Floats]:
        """Positions and similarities of the nearest classes, [G, `_CANDIDATES`], padded with -1 and NaN."""
        found = np.full((len(groups.size), _CANDIDATES), -1, np.int64)
        for chunk in row_chunks(len(found)):
            width = min(_CANDIDATES, len(self.labels))
            found[chunk, :width] = self.index.search(unit(groups.mean[chunk]), width)[1]
        similarity = groups.similarity(np.repeat(np.arange(len(found)), _CANDIDATES), self.groups, found.ravel())
        return found, np.where(found >= 0, similarity.reshape(found.shape), np.nan)

    def by_chance(self, images: int, wrong: int, alike: Ids) -> bool:
        """Whether `images` of the people `alike` are a coincidence among `wrong` rows of a class.

        Wrong labels bring in each person in proportion to its images in the data set. The test is corrected for the
        number of classes and of people at least as frequent.
        """
        if not len(alike):
            return False
        tail = poisson_tail(images, wrong * float(self.share[alike].sum()))
        return tail * len(self.larger) * float(self.larger[alike].min()) > _FALSE_GROUPS


def poisson_tail(count: int, rate: float) -> float:
    """Upper bound of the probability of at least `count` events at an expectation of `rate`."""
    if count <= rate:
        return 1.0
    log_term = count * math.log(rate) - rate - math.lgamma(count + 1) if rate > 0 else -math.inf
    return min(1.0, math.exp(log_term) / (1 - rate / (count + 1)))
