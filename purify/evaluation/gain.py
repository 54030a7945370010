"""What purification gained: models trained on different sets, measured on the same pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from purify.evaluation.intervals import interval, resample_weights, weighted_auc, weighted_tar
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
        name: {"n_train": n_train[name], **_figures(values, same, fold, weights), "auc_interval": interval(drawn[name])}
        for name, values in scores.items()
    }
    differences = {
        f"purified-{other}": {
            "auc": models["purified"]["auc"] - models[other]["auc"],
            "interval": interval(drawn["purified"] - drawn[other]),
        }
        for other in scores
        if other in _AGAINST and "purified" in scores
    }
    return {"models": models, "differences": differences, **_gap(models, drawn)}


def _figures(
    scores: Scores, same: Same, fold: npt.NDArray[np.int64], weights: npt.NDArray[np.float64]
) -> dict[str, Any]:
    accuracy = fold_accuracy(scores, same, fold)
    tars = {
        str(far): {"value": tar, "interval": interval(weighted_tar(scores, same, weights, far))}
        for far in FARS
        if (tar := tar_at_far(scores, same, far)) is not None
    }
    return {
        "auc": auc(scores, same),
        "accuracy": {"mean": float(accuracy.mean()), "std": float(accuracy.std())},
        "tar_at_far": tars,
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
