"""Comparison of the images of two labels as sets, to tell whether they show one person.

The measure is the log ratio of `IdentityModel`. Some people have many look-alikes in a data set, others none; so it
counts by its excess over what the two sets reach with the labels that come next (as scores are normalized by a cohort
in speaker verification), if these are alike at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import faiss
import numpy as np

from purify.analysis.class_rows import ImageGroups
from purify.analysis.identities.plda import IdentityModel, fit_identities
from purify.analysis.search import center_index, unit
from purify.analysis.threaded_search import map_blocks, search_blocks
from purify.arrays import Floats, Ids, Vectors

#: Candidates of a set: the labels with the nearest centers.
CANDIDATES = 24
#: Sets, or pairs of sets, compared at a time; few, so that what is computed of them stays in the cache.
_SETS, _PAIRS = 64, 1024
#: The nearest candidates may be the same person; the background are those of these ranks.
_BACKGROUND = slice(3, 20)


@dataclass(frozen=True)
class ImageSets:
    """G sets of images: their unit centers [G, D], means in the coordinates of the model [G, d], and sizes [G]."""

    center: Vectors
    mean: Vectors
    size: Floats

    @classmethod
    def of(cls, members: ImageGroups, model: IdentityModel) -> ImageSets:
        """Sets of unit vectors."""
        mean = np.stack([rows.mean(axis=0) for rows in members]).astype(np.float32)
        return cls(unit(mean), model.coordinates(mean), members.size.astype(np.float64))


@dataclass(frozen=True)
class Rivals:
    """Of G sets: candidates [G, K] (-1: none), their log ratios [G, K] (none: -inf), and the background [G]."""

    found: Ids
    log_ratio: Floats
    background: Floats


@dataclass(frozen=True)
class SetComparison:
    """The sets of all labels, searchable."""

    model: IdentityModel
    sets: ImageSets
    index: faiss.Index

    @classmethod
    def of(cls, members: ImageGroups) -> SetComparison:
        """Fit the model to the members of each label, and index them."""
        label, weight = np.zeros(len(members.vectors), np.int64), np.zeros(len(members.vectors))
        for number, rows in enumerate(members.members):
            label[rows], weight[rows] = number, 1
        model = fit_identities(members.vectors, label, weight, len(members))
        sets = ImageSets.of(members, model)
        return cls(model, sets, center_index(sets.center, len(members)))

    def log_ratio(self, one: ImageSets, other: ImageSets) -> Floats:
        """Log ratio [P] of each pair of sets."""
        parts = map_blocks(
            lambda k: self.model.log_ratio_of_sets(one.mean[k], one.size[k], other.mean[k], other.size[k]),
            len(one.size),
            _PAIRS,
        )
        return np.concatenate(parts)

    def _ratios(self, sets: ImageSets, found: Ids, at: slice) -> Floats:
        """Log ratios [n, K] of the sets `at` and the labels ``found[G, K]``."""
        mean, size = self.sets.mean[found[at]], self.sets.size[found[at]]
        return self.model.log_ratio_of_sets(sets.mean[at][:, None], sets.size[at][:, None], mean, size)

    def rivals(self, sets: ImageSets, own: Ids) -> Rivals:
        """Compare sets with the labels nearest to each, but for the label ``own[G]``."""
        width = min(CANDIDATES + 1, len(self.sets.size))
        found = search_blocks(self.index, sets.center, width)[1]
        away = np.argsort(found == own[:, None], axis=1, kind="stable")
        found = np.take_along_axis(found, away, axis=1)[:, : width - 1]
        found = np.where(found == own[:, None], -1, found)
        ratio = np.concatenate(map_blocks(lambda at: self._ratios(sets, found, at), len(own), _SETS))
        ratio = np.where(found >= 0, ratio, -np.inf)
        background = np.sort(ratio, axis=1)[:, ::-1][:, _BACKGROUND].mean(axis=1)
        return Rivals(found, ratio, np.maximum(background, 0))
