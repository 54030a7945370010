"""Hypotheses "image i shows label c", and their measures."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from purify.arrays import Floats, Ids


class Hypotheses(NamedTuple):
    """Hypotheses "image i shows label c", int64 [n]; the label `excluded` (-1: none) does not compete."""

    rows: Ids
    labels: Ids
    excluded: Ids

    @classmethod
    def of(cls, rows: Ids, labels: Ids, excluded: Ids | None = None) -> Hypotheses:
        """Hypotheses with all other labels in competition, or without `excluded`."""
        return cls(rows, labels, np.full(len(rows), -1, np.int64) if excluded is None else excluded)

    def part(self, chunk: slice) -> Hypotheses:
        """A slice of the hypotheses."""
        return Hypotheses(self.rows[chunk], self.labels[chunk], self.excluded[chunk])


class Measures(NamedTuple):
    """Result of `Gallery.measure` for n hypotheses.

    ``features``, float64 [n, 10]: cosine to the label's center, by itself, less that of the nearest competitor, and
    less the mean of the 20 nearest; the same three of the log ratio of `IdentityModel`; mean cosine to the 3 nearest
    trusted images of the label, by itself and less that of the best competitor; the image's two measures of quality.
    ``trusted``, float64 [n]: weight of the label's other images. ``best``, int64 [n]: the best competing label, or -1.
    """

    features: Floats
    trusted: Floats
    best: Ids
