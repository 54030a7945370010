"""How often different people look alike by chance, extrapolated from pairs that are known to be different."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from purify.arrays import Floats

#: Ranks of the scores between which the tail is fitted: the very largest may be one person under two names.
_RANKS = (60, 600)
_TINY = 1e-9


@dataclass(frozen=True)
class StrangerTail:
    """Exponential tail of the scores of different people.

    ``rank`` of ``pairs`` pairs reach `score`; beyond, their number falls by a factor e every `scale`.
    """

    pairs: int
    rank: int
    score: float
    scale: float

    @classmethod
    def fit(cls, scores: npt.NDArray[np.floating], pairs: int) -> Self:
        """Fit to ``scores[n]`` of pairs of different people; of all `pairs` compared, at least the upper half of n."""
        falling = np.sort(scores)[::-1]
        if len(falling) < 2:
            return cls(max(pairs, 1), 1, np.inf, 0.0)
        last = max(2, min(_RANKS[1], len(falling) // 2))
        early = max(1, last * _RANKS[0] // _RANKS[1])
        scale = float(falling[early - 1] - falling[last - 1]) / float(np.log(last / early))
        return cls(pairs, early, float(falling[early - 1]), scale)

    def expected(self, scores: Floats, comparisons: int) -> Floats:
        """Number of pairs of strangers to expect from each of the `scores` on, among so many comparisons."""
        beyond = np.exp(np.minimum(-(scores - self.score) / max(self.scale, _TINY), 700))
        found: Floats = comparisons * np.minimum(1, self.rank / self.pairs * beyond)
        return found


def sure_pairs(expected: Floats, false_share: float) -> int:
    """How many pairs to accept, surest first, for at most `false_share` of them to be expected to be false.

    ``expected[n]`` rises: the number of strangers up to each pair (Benjamini and Hochberg, 1995).
    """
    allowed = np.flatnonzero(expected <= false_share * np.arange(1, len(expected) + 1))
    return int(allowed[-1]) + 1 if len(allowed) else 0
