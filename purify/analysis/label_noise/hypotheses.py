"""Hypotheses "image i shows label c", and their measures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from purify.arrays import Floats, Ids


@dataclass(frozen=True)
class Hypotheses:
    """Hypotheses "image i shows label c": given labels, or simulated ones.

    Attributes
    ----------
    rows, labels
        int64 [n].
    excluded
        int64 [n]: a label without a part in the competition; -1 for none.
    """

    rows: Ids
    labels: Ids
    excluded: Ids

    @classmethod
    def of(cls, rows: Ids, labels: Ids, excluded: Ids | None = None) -> Hypotheses:
        """Hypotheses with all other labels in competition, or without `excluded`."""
        return cls(rows, labels, np.full(len(rows), -1, np.int64) if excluded is None else excluded)

    def part(self, chunk: slice) -> Hypotheses:
        """Some of the pairs."""
        return Hypotheses(self.rows[chunk], self.labels[chunk], self.excluded[chunk])


@dataclass(frozen=True)
class Measures:
    """Result of `Gallery.measure` for n hypotheses.

    Attributes
    ----------
    features
        float64 [n, 10]: cosine to the label's center, by itself, less that of the nearest competitor, and less the
        mean of the 20 nearest; the same three of the log ratio of `IdentityModel`; mean cosine to the 3 nearest
        trusted images of the label, by itself and less that of the best competitor; the image's quality, twice.
    trusted
        float64 [n]: weight of the label's images other than this one.
    best
        int64 [n]: the competing label that fits best; -1 where there is none.
    """

    features: Floats
    trusted: Floats
    best: Ids
