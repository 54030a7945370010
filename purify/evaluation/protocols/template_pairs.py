"""1:1 verification of listed template pairs, as in IJB-B and IJB-C."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from purify.arrays import Floats, Ids
from purify.evaluation.people_bootstrap import draw_units, pair_weights, weighted_threshold
from purify.evaluation.protocols.error_rates import tar_at_nearest_far
from purify.evaluation.protocols.protocol_figures import Figure, ProtocolFigures, far_name, refusals
from purify.evaluation.verification import Same, Scores, allowed_accepts, is_measurable, tar_at_far

_BLOCK = 1 << 17
#: Impostors kept for the bootstrap, as a multiple of those at the coarsest rate: a draw's threshold may lie lower.
_SPARE = 2.0


def listed_scores(vectors: Floats, first: Ids, second: Ids) -> Scores:
    """Cosines [P] of the unit ``vectors[T, D]`` with the row numbers ``first[P]`` and ``second[P]``, in blocks."""
    scores = np.empty(len(first))
    for start in range(0, len(first), _BLOCK):
        rows = slice(start, start + _BLOCK)
        scores[rows] = np.einsum("pd,pd->p", vectors[first[rows]], vectors[second[rows]])
    return scores


def verify_templates(
    scores: Scores,
    same: Same,
    first: Ids,
    second: Ids,
    *,
    fars: Sequence[float],
    nearest: bool = False,
    samples: int = 200,
    seed: int = 0,
) -> ProtocolFigures:
    """TAR at each of `fars` for P pairs of the templates (or people) numbered ``first[P]`` and ``second[P]``.

    Strictly, the threshold accepts at most the given share of the different pairs; with `nearest`, it is that of the
    nearest point of the ROC, as InsightFace's script reads it. A rate finer than one different pair is refused. The
    intervals draw the templates (or people) with replacement.
    """
    measurable = [far for far in fars if is_measurable(far, same)]
    draws = (
        _draws(scores, same, first, second, measurable, samples=samples, seed=seed) if measurable else np.empty((0, 0))
    )
    figures = {}
    for far, drawn in zip(measurable, draws.T, strict=True):
        value = tar_at_nearest_far(scores, same, far) if nearest else tar_at_far(scores, same, far)
        assert value is not None
        figures[far_name("TAR@FAR", far)] = Figure.of(value, drawn)
    different = int((~same).sum())
    refused = refusals("TAR@FAR", fars, measurable, different)
    return ProtocolFigures(figures, refused, {"same": int(same.sum()), "different": different})


def _draws(
    scores: Scores, same: Same, first: Ids, second: Ids, fars: Sequence[float], *, samples: int, seed: int
) -> Floats:
    """Bootstrap values [samples, F] of the strict TAR."""
    rng = np.random.default_rng(seed)
    units = int(max(first.max(), second.max())) + 1
    impostors = np.flatnonzero(~same)
    kept = min(len(impostors), int(_SPARE * allowed_accepts(max(fars), len(impostors))) + 1)
    top = impostors[np.argpartition(-scores[impostors], kept - 1)[:kept]]
    top = top[np.argsort(-scores[top], kind="stable")]
    genuine = np.flatnonzero(same)
    values = np.empty((samples, len(fars)))
    for row in range(samples):
        drawn = draw_units(rng, units)
        weights, own = (pair_weights(drawn, first[pairs], second[pairs]) for pairs in (top, genuine))
        total = pair_weights(drawn, first[impostors], second[impostors]).sum()
        for column, far in enumerate(fars):
            passing = scores[genuine] > weighted_threshold(scores[top], weights, total, far)
            values[row, column] = (own * passing).sum() / own.sum() if own.any() else np.nan
    return values[~np.isnan(values).any(axis=1)]
