"""What purification gained: models trained on different sets, measured on the same pairs."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations
from typing import Any

import numpy as np
import numpy.typing as npt

from purify.evaluation.intervals import interval, resample_weights, weighted_auc
from purify.evaluation.verification import FARS, Same, Scores, auc, fold_accuracy, roc_points, tar_at_far

_AGAINST = ("raw", "random", "oracle")


def compare_models(
    scores: Mapping[str, Scores],
    same: Same,
    fold: npt.NDArray[np.int64],
    n_train: Mapping[str, int],
    *,
    bootstrap: int,
    seed: int,
) -> dict[str, Any]:
    """Figures of each model, paired differences of the purified one to the others, and the gap closed."""
    weights = resample_weights(same, samples=bootstrap, seed=seed)
    drawn = {name: weighted_auc(values, same, weights) for name, values in scores.items()}
    models = {
        name: {"n_train": n_train[name], **_figures(values, same, fold), "auc_interval": interval(drawn[name])}
        for name, values in scores.items()
    }
    differences = {
        f"{one}-{other}": {
            "auc": models[one]["auc"] - models[other]["auc"],
            "interval": interval(drawn[one] - drawn[other]),
        }
        for one, other in permutations(scores, 2)
        if one == "purified" and other in _AGAINST
    }
    return {"models": models, "differences": differences, **_gap(models, drawn)}


def _figures(scores: Scores, same: Same, fold: npt.NDArray[np.int64]) -> dict[str, Any]:
    accuracy = fold_accuracy(scores, same, fold)
    return {
        "auc": auc(scores, same),
        "accuracy": {"mean": float(accuracy.mean()), "std": float(accuracy.std())},
        "tar_at_far": {str(far): tar for far in FARS if (tar := tar_at_far(scores, same, far)) is not None},
        "roc": roc_points(scores, same),
    }


def _gap(models: Mapping[str, Any], drawn: Mapping[str, npt.NDArray[np.float64]]) -> dict[str, Any]:
    """Share of the raw-to-oracle gap in AUC that purification closed; None with a reason where there is no gap."""
    if not {"raw", "purified", "oracle"} <= models.keys():
        return {"gap_closed": None, "gap_closed_reason": "needs the models raw, purified and oracle (a truth column)"}
    gap = drawn["oracle"] - drawn["raw"]
    if interval(gap)[0] <= 0:
        low, high = interval(gap)
        reason = f"the oracle is not clearly better than raw on these pairs (AUC {low:+.4f} to {high:+.4f})"
        return {"gap_closed": None, "gap_closed_reason": reason}
    value = (models["purified"]["auc"] - models["raw"]["auc"]) / (models["oracle"]["auc"] - models["raw"]["auc"])
    ratio = (drawn["purified"] - drawn["raw"]) / gap
    return {"gap_closed": {"auc": {"value": value, "interval": interval(ratio)}}}
