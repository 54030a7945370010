"""Verification sets in ten folds: LFW, CFP-FP, AgeDB-30, CALFW, CPLFW and MLFW."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from purify.arrays import Floats
from purify.evaluation.intervals import (
    Weights,
    weighted_accuracy,
    weighted_auc,
    weighted_tar,
)
from purify.evaluation.pair_figures import resamples
from purify.evaluation.people import People
from purify.evaluation.protocols.error_rates import equal_error_rate, weighted_eer
from purify.evaluation.protocols.protocol_figures import Figure, ProtocolFigures, far_name, refusals
from purify.evaluation.verification import FARS, Folds, Same, Scores, auc, fold_accuracy, is_measurable, tar_at_far

#: Thresholds on the squared distance in InsightFace's ``calculate_val``.
_VAL_GRID = np.arange(0, 4, 0.001)


@dataclass(frozen=True, eq=False)
class FoldedPairs:
    """P pairs: whether of one person, their fold, and their people where these are known."""

    same: Same
    fold: Folds
    people: People | None = None


def file_folds(pairs: int, folds: int = 10) -> Folds:
    """Folds int64[P] of pairs in the order of a file: contiguous blocks, the first ones larger by one if need be."""
    sizes = np.full(folds, pairs // folds) + (np.arange(folds) < pairs % folds)
    return np.repeat(np.arange(folds), sizes).astype(np.int64)


def verify_folds(
    scores: Scores,
    pairs: FoldedPairs,
    *,
    fars: Sequence[float] = FARS,
    interpolated: bool = False,
    samples: int = 1000,
    seed: int = 0,
) -> ProtocolFigures:
    """Accuracy over folds, AUC, EER and TAR at `fars` of ``scores[P]``, cosines.

    The accuracy of a fold is taken at the best threshold of the other folds (see
    `purify.evaluation.verification.fold_accuracy`); its ``std`` is over the folds. With a single fold it is refused:
    no pairs are left to choose the threshold on. With `interpolated`, ``VAL@FAR=1e-3`` of InsightFace's script is
    added (`interpolated_val`). The intervals draw people where they are known, else pairs.
    """
    same, fold = pairs.same, pairs.fold
    usable = [far for far in fars if is_measurable(far, same)]
    folds = len(np.unique(fold))
    blocks = resamples(same, pairs.people, samples=samples, seed=seed)
    parts = [_draws(scores, pairs, weights, usable) for weights in blocks]
    drawn = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    figures = {"AUC": Figure.of(auc(scores, same), drawn["AUC"])}
    figures["EER"] = Figure.of(equal_error_rate(scores, same), drawn["EER"])
    refused = refusals("TAR@FAR", fars, usable, int((~same).sum()))
    if folds > 1:
        of_folds = fold_accuracy(scores, same, fold)
        accuracy = Figure.of(of_folds.mean(), drawn["accuracy"], std=float(of_folds.std()))
        figures = {"accuracy": accuracy, **figures}
    else:
        refused["accuracy"] = "one fold: no other pairs to choose the threshold on"
    for far in usable:
        name, tar = far_name("TAR@FAR", far), tar_at_far(scores, same, far)
        assert tar is not None
        figures[name] = Figure.of(tar, drawn[name])
    if interpolated and folds > 1:
        figures[far_name("VAL@FAR", 1e-3)] = interpolated_val(scores, pairs, 1e-3)
    counts = {"pairs": len(same), "same": int(same.sum()), "different": int((~same).sum()), "folds": folds}
    return ProtocolFigures(figures, refused, counts, "pairs" if pairs.people is None else "people")


def _draws(scores: Scores, pairs: FoldedPairs, weights: Weights, fars: Sequence[float]) -> dict[str, Floats]:
    same = pairs.same
    drawn = {
        "AUC": weighted_auc(scores, same, weights),
        "EER": weighted_eer(scores, same, weights),
        **{far_name("TAR@FAR", far): weighted_tar(scores, same, weights, far) for far in fars},
    }
    if len(np.unique(pairs.fold)) > 1:
        drawn["accuracy"] = weighted_accuracy(scores, same, pairs.fold, weights)
    return drawn


def interpolated_val(scores: Scores, pairs: FoldedPairs, far: float) -> Figure:
    """VAL at a false accept rate as InsightFace's ``calculate_val`` has it, mean and spread over the folds.

    For each fold, the FAR of the other folds at each threshold of a grid on the squared distance is interpolated to
    find the threshold for `far`; where it is reached nowhere, nothing is accepted. Among equal FARs, the script's
    SciPy interpolation takes the last threshold before the rise.
    """
    distance = 2 - 2 * scores
    values = []
    for held_out in np.unique(pairs.fold):
        inside = pairs.fold == held_out
        others = np.sort(distance[~inside & ~pairs.same])
        fars = np.searchsorted(others, _VAL_GRID, side="left") / max(len(others), 1)
        threshold = _interpolate(far, fars) if fars.max() >= far else 0.0
        values.append((distance[inside & pairs.same] < threshold).mean())
    return Figure(float(np.mean(values)), std=float(np.std(values)))


def _interpolate(far: float, fars: Floats) -> float:
    """Threshold at `far`: on the segment from the last grid point below it to the first at or above it."""
    after = max(int(np.searchsorted(fars, far, side="left")), 1)
    low, high = fars[after - 1], fars[after]
    share = (far - low) / (high - low) if high > low else 1.0
    return float(_VAL_GRID[after - 1] + share * (_VAL_GRID[after] - _VAL_GRID[after - 1]))
