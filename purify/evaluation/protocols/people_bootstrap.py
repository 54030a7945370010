"""Bootstrap over the people, templates or probes behind pairs, instead of the pairs.

Pairs that share a person are not independent: a hard face makes all of its pairs hard. Drawing people with replacement
carries that into the interval. A pair of two people drawn m and n times counts m n times, a pair within one person as
often as the person was drawn.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from purify.arrays import Floats, Ids
from purify.evaluation.intervals import Weights
from purify.evaluation.verification import Same, Scores, allowed_accepts

_MOST_CELLS = 1 << 22


def people_weights(first: Ids, second: Ids, same: Same, *, samples: int, seed: int) -> Iterator[Weights]:
    """Yield blocks of weights [B, P], `samples` rows in all, for pairs of the people ``first[P]`` and ``second[P]``.

    People are numbered from 0. Draws that leave no same or no different pair are drawn again.
    """
    rng = np.random.default_rng(seed)
    most = max(1, _MOST_CELLS // len(same))
    for start in range(0, samples, most):
        rows = min(most, samples - start)
        yield np.stack([_usable(rng, first, second, same) for _ in range(rows)])


def _usable(rng: np.random.Generator, first: Ids, second: Ids, same: Same) -> Floats:
    for _ in range(100):
        weights = pair_weights(draw_units(rng, int(max(first.max(), second.max())) + 1), first, second)
        if weights[same].any() and weights[~same].any():
            return weights
    return np.ones(len(same))  # a handful of people: chance will not leave both kinds


def draw_units(rng: np.random.Generator, units: int) -> Floats:
    """How often each of `units` people (or templates, or probes) was drawn, float64[U]; the sum is U."""
    return rng.multinomial(units, np.full(units, 1 / units)).astype(np.float64)


def pair_weights(drawn: Floats, first: Ids, second: Ids) -> Floats:
    """Weight [P] of each pair from ``drawn[U]``."""
    return np.where(first == second, drawn[first], drawn[first] * drawn[second])


def weighted_threshold(scores: Scores, weights: Floats, total: float, far: float) -> float:
    """The strict threshold at `far`: the largest score at which the accepted weight would exceed ``far * total``.

    ``scores[I]`` of impostors fall, with ``weights[I]`` of `total`; they need only reach down to that threshold, else
    their smallest bounds it. -inf where all impostors there are may be accepted.
    """
    accepted = np.cumsum(weights)
    over = accepted > allowed_accepts(far, total)
    if over.any():
        return float(scores[int(np.argmax(over))])
    complete = not len(scores) or accepted[-1] >= total * (1 - 1e-12)
    return -np.inf if complete else float(scores[-1])
