"""Gain of purification: models trained on different sets, measured on the same pairs."""

from __future__ import annotations

from collections.abc import Mapping
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

_DIFFERENCES = (("purified", "raw"), ("purified", "random"), ("purified", "oracle"), ("oracle", "raw"))

#: Figure -> its bootstrap values [B].
Draws = Mapping[str, Scores]


def compare_models(
    scores: Mapping[str, Scores], same: Same, fold: Folds, n_train: Mapping[str, int], *, bootstrap: int, seed: int
) -> dict[str, Any]:
    """Figures of each model, paired differences, and the share of the raw-to-oracle gap that was closed.

    `scores` are cosines [P] by model (``raw``, ``purified``, ``random``, ``oracle`` or others), `n_train` numbers of
    training images; `bootstrap` is the number of resamples. The result has ``models``, ``differences``
    (``purified-raw`` and so on) and ``gap_closed`` (None with ``gap_closed_reason`` where it is undefined), plain
    values for JSON.

    The 95 % intervals cover the choice of the pairs for fixed models: training with another seed adds a spread of its
    own.
    """
    drawn = _bootstrap(scores, same, fold, samples=bootstrap, seed=seed)
    models = {
        name: {"n_train": n_train[name], **_figures(values, same, fold, drawn[name])} for name, values in scores.items()
    }
    differences = {
        f"{better}-{worse}": _difference(models, drawn, better, worse)
        for better, worse in _DIFFERENCES
        if better in models and worse in models
    }
    return {"models": models, "differences": differences, **_gap_closed(models, drawn)}


def gap_sentence(gap: Mapping[str, Any]) -> str:
    """Put a share of the raw-to-oracle gap into words, with its interval, claiming no more than the pairs show.

    `gap` has ``value`` and ``interval``, such as ``compare_models(...)["gap_closed"]["auc"]``; the answer is a noun
    phrase that follows "purification closed".
    """
    value, (low, high) = gap["value"], gap["interval"]
    interval = f"95 % interval {100 * low:.0f} to {100 * high:.0f} %"
    share = f"{100 * value:.0f} % of the gap"
    if low <= 0:
        return f"no certain share of the gap ({share}, {interval}: not distinguishable from none)"
    if low > 1:
        return (
            f"the whole gap and more ({share}, {interval}): on these pairs the purified model beats the oracle, a "
            "difference that may also be the seeds of the two trainings"
        )
    if value >= 1:
        return f"the whole gap, as far as these pairs can tell ({share}, {interval}: not distinguishable from 100 %)"
    tail = ": not distinguishable from 100 %" if high >= 1 else ""
    return f"{share} ({interval}{tail})"


def _bootstrap(
    scores: Mapping[str, Scores], same: Same, fold: Folds, *, samples: int, seed: int
) -> dict[str, dict[str, Scores]]:
    blocks = [
        {name: _draws(values, same, fold, weights) for name, values in scores.items()}
        for weights in resample_weights(same, samples=samples, seed=seed)
    ]
    return {
        name: {figure: np.concatenate([block[name][figure] for block in blocks]) for figure in blocks[0][name]}
        for name in scores
    }


def _draws(scores: Scores, same: Same, fold: Folds, weights: Weights) -> dict[str, Scores]:
    return {
        "auc": weighted_auc(scores, same, weights),
        "accuracy": weighted_accuracy(scores, same, fold, weights),
        **{str(far): weighted_tar(scores, same, weights, far) for far in FARS if is_measurable(far, same)},
    }


def _figures(scores: Scores, same: Same, fold: Folds, drawn: Draws) -> dict[str, Any]:
    accuracy = fold_accuracy(scores, same, fold)
    tars = {far: tar for far in FARS if (tar := tar_at_far(scores, same, far)) is not None}
    refused = {
        str(far): f"needs {round(1 / far)} different pairs, there are {int((~same).sum())}"
        for far in FARS
        if far not in tars
    }
    return {
        "auc": auc(scores, same),
        "auc_interval": interval(drawn["auc"]),
        "accuracy": {
            "mean": float(accuracy.mean()),
            "std": float(accuracy.std()),
            "interval": interval(drawn["accuracy"]),
        },
        "tar_at_far": {str(far): {"value": tar, "interval": interval(drawn[str(far)])} for far, tar in tars.items()},
        "tar_refused": refused,
        "roc": roc_points(scores, same),
    }


def _difference(
    models: Mapping[str, Any], drawn: Mapping[str, Draws], better: str, worse: str
) -> dict[str, float | list[float]]:
    return {
        "auc": _value(models[better], "auc") - _value(models[worse], "auc"),
        "interval": interval(drawn[better]["auc"] - drawn[worse]["auc"]),
        "accuracy": _value(models[better], "accuracy") - _value(models[worse], "accuracy"),
        "accuracy_interval": interval(drawn[better]["accuracy"] - drawn[worse]["accuracy"]),
    }


def _gap_closed(models: Mapping[str, Any], drawn: Mapping[str, Draws]) -> dict[str, Any]:
    """Share of the raw-to-oracle gap that purification closed, in AUC and in accuracy."""
    if missing := [name for name in ("raw", "purified", "oracle") if name not in models]:
        reason = f"there is no model {' and none '.join(missing)} (oracle: needs a truth column)"
        return {"gap_closed": None, "gap_closed_reason": reason}
    closed, reasons = {}, []
    for figure, name in (("auc", "AUC"), ("accuracy", "accuracy")):
        low, high = interval(drawn["oracle"][figure] - drawn["raw"][figure])
        closed[figure] = _closed(models, drawn, figure) if low > 0 else None
        if low <= 0:
            reasons.append(
                f"the oracle is not clearly better than raw on these pairs ({name} {low:+.4f} to {high:+.4f})"
            )
    answer: dict[str, Any] = {"gap_closed": closed if closed["auc"] else None}
    if reasons:
        answer["gap_closed_reason"] = f"the oracle is not clearly better than raw on these pairs: {', '.join(reasons)}"
    return answer


def _closed(models: Mapping[str, Any], drawn: Mapping[str, Draws], figure: str) -> dict[str, float | list[float]]:
    raw, purified, oracle = (_value(models[name], figure) for name in ("raw", "purified", "oracle"))
    gap = drawn["oracle"][figure] - drawn["raw"][figure]
    gain = drawn["purified"][figure] - drawn["raw"][figure]
    # The caller has checked that fewer than one resample in forty lacks a gap.
    positive = gap > 0
    return {"value": (purified - raw) / (oracle - raw), "interval": interval(gain[positive] / gap[positive])}


def _value(model: Mapping[str, Any], figure: str) -> float:
    return float(model["accuracy"]["mean"] if figure == "accuracy" else model[figure])
