"""Bootstrap over the people, templates or probes behind pairs, instead of the pairs.

Pairs that share a person are not independent: a hard face makes all of its pairs hard. Drawing people with replacement
carries that into the interval. A pair of two people drawn m and n times counts m n times, a pair within one person as
often as the person was drawn (the vertex bootstrap; Snijders and Borgatti, 1999).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from purify.arrays import Floats, Ids
from purify.evaluation.intervals import MOST_CELLS, Weights
from purify.evaluation.people import People
from purify.evaluation.verification import Same, Scores, allowed_accepts


def resample_people(people: People, same: Same, *, samples: int, seed: int) -> Iterator[Weights]:
    """Yield blocks of weights [B, P], `samples` rows in all: how often each pair is drawn with its people.

    Draws without a pair of each kind are drawn again.

    Parameters
    ----------
    people
        The people of P pairs.
    same
        bool[P]: pairs of one person; both kinds are there.
    samples
        Number of resamples.
    seed
        Seed of the draws.
    """
    rng = np.random.default_rng(seed)
    most = max(1, MOST_CELLS // len(same))
    for start in range(0, samples, most):
        rows = min(most, samples - start)
        block = np.zeros((0, len(same)))
        while len(block) < rows:
            weights = pair_weights(draw_units(rng, people.count, rows - len(block)), people.a, people.b)
            usable = weights[:, same].any(axis=1) & weights[:, ~same].any(axis=1)
            block = np.concatenate([block, weights[usable]])
        yield block


def draw_units(rng: np.random.Generator, units: int, rows: int | None = None) -> Floats:
    """How often each of `units` people (templates, probes) was drawn, float64[U] or [rows, U]; the sum is U."""
    return rng.multinomial(units, np.full(units, 1 / units), size=rows).astype(np.float64)


def pair_weights(drawn: Floats, first: Ids, second: Ids) -> Floats:
    """Weight [..., P] of each pair from ``drawn[..., U]``."""
    return np.where(first == second, drawn[..., first], drawn[..., first] * drawn[..., second])


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
