"""The figures of scored pairs, observed and resampled: AUC, accuracy over folds, true accept rates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from purify.evaluation.intervals import (
    Weights,
    interval,
    resample_weights,
    weighted_accuracy,
    weighted_auc,
    weighted_tar,
)
from purify.evaluation.people import People
from purify.evaluation.people_bootstrap import resample_people
from purify.evaluation.verification import (
    FARS,
    Folds,
    Same,
    Scores,
    auc,
    fold_accuracy,
    is_measurable,
    roc_points,
    tar_at_far,
)

#: Figure (``auc``, ``accuracy``, or a false accept rate) -> its bootstrap values [B].
Draws = Mapping[str, Scores]


def resamples(same: Same, people: People | None, *, samples: int, seed: int) -> Iterator[Weights]:
    """Blocks of weights [B, P] of resampled `people`, or without them of resampled pairs."""
    if people is None:
        return resample_weights(same, samples=samples, seed=seed)
    return resample_people(people, same, samples=samples, seed=seed)


def observed_figures(scores: Scores, same: Same, fold: Folds) -> dict[str, float]:
    """Each figure of ``scores[P]``, by the name that its draws have, too."""
    tars = {str(far): tar_at_far(scores, same, far) for far in FARS}
    return {
        "auc": auc(scores, same),
        "accuracy": float(fold_accuracy(scores, same, fold).mean()),
        **{far: tar for far, tar in tars.items() if tar is not None},
    }


def resampled_figures(
    scores: Mapping[str, Scores], same: Same, fold: Folds, blocks: Iterable[Weights]
) -> dict[str, dict[str, Scores]]:
    """Draws of each model's figures; all models are measured on the same resamples, so that differences are paired."""
    drawn = [{name: _draws(values, same, fold, weights) for name, values in scores.items()} for weights in blocks]
    return {
        name: {figure: np.concatenate([block[name][figure] for block in drawn]) for figure in drawn[0][name]}
        for name in scores
    }


def figures_with_intervals(scores: Scores, same: Same, fold: Folds, drawn: Draws) -> dict[str, Any]:
    """All figures of a model as ``evaluation.json`` has them, with 95 % intervals, its ROC, and refused FARs."""
    accuracy = fold_accuracy(scores, same, fold)
    tars = {far: tar for far in FARS if (tar := tar_at_far(scores, same, far)) is not None}
    return {
        "auc": auc(scores, same),
        "auc_interval": interval(drawn["auc"]),
        "accuracy": {
            "mean": float(accuracy.mean()),
            "std": float(accuracy.std()),
            "interval": interval(drawn["accuracy"]),
        },
        "tar_at_far": {str(far): {"value": tar, "interval": interval(drawn[str(far)])} for far, tar in tars.items()},
        "tar_refused": refused_fars(same),
        "roc": roc_points(scores, same),
    }


def refused_fars(same: Same) -> dict[str, str]:
    """False accept rates that the different pairs can't measure, with the reason."""
    different = int((~same).sum())
    return {
        str(far): f"needs {round(1 / far)} different pairs, there are {different}"
        for far in FARS
        if not is_measurable(far, same)
    }


def _draws(scores: Scores, same: Same, fold: Folds, weights: Weights) -> dict[str, Scores]:
    return {
        "auc": weighted_auc(scores, same, weights),
        "accuracy": weighted_accuracy(scores, same, fold, weights),
        **{str(far): weighted_tar(scores, same, weights, far) for far in FARS if is_measurable(far, same)},
    }
