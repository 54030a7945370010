"""Gain of purification: models trained on different sets, measured on the same pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from purify.evaluation.intervals import interval
from purify.evaluation.pair_figures import Draws, figures_with_intervals, resampled_figures, resamples
from purify.evaluation.people import People
from purify.evaluation.verification import Folds, Same, Scores

_DIFFERENCES = (("purified", "raw"), ("purified", "random"), ("purified", "oracle"), ("oracle", "raw"))


def compare_models(
    scores: Mapping[str, Scores],
    same: Same,
    fold: Folds,
    n_train: Mapping[str, int],
    *,
    bootstrap: int,
    seed: int,
    people: People | None = None,
) -> dict[str, Any]:
    """Figures of each model, paired differences, and the share of the raw-to-oracle gap that was closed.

    `scores` are cosines [P] by model (``raw``, ``purified``, ``random``, ``oracle`` or others), `n_train` numbers of
    training images; `bootstrap` is the number of resamples, of the `people` of the pairs or, without them, of the pairs
    themselves. The result has ``models``, ``differences`` (``purified-raw`` and so on, each with its ``finding``),
    ``gap_closed`` (None with ``gap_closed_reason`` where it is undefined) and ``resampled``, plain values for JSON.

    The 95 % intervals cover the choice of the people for fixed models: training with another seed adds a spread of its
    own, which `purify.evaluation.proof_table` measures.
    """
    blocks = resamples(same, people, samples=bootstrap, seed=seed)
    drawn = resampled_figures(scores, same, fold, blocks)
    models = {
        name: {"n_train": n_train[name], **figures_with_intervals(values, same, fold, drawn[name])}
        for name, values in scores.items()
    }
    differences = {
        f"{better}-{worse}": _difference(models, drawn, better, worse)
        for better, worse in _DIFFERENCES
        if better in models and worse in models
    }
    drawn_are = "pairs" if people is None else "people"
    return {"models": models, "differences": differences, "resampled": drawn_are, **_gap_closed(models, drawn)}


def finding(interval: Sequence[float]) -> str:
    """What the 95 % `interval` of a difference says: ``better``, ``worse``, or ``no clear difference``."""
    low, high = interval
    if low > 0:
        return "better"
    return "worse" if high < 0 else "no clear difference"


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


def _difference(
    models: Mapping[str, Any], drawn: Mapping[str, Draws], better: str, worse: str
) -> dict[str, float | str | list[float]]:
    around = interval(drawn[better]["auc"] - drawn[worse]["auc"])
    return {
        "auc": _value(models[better], "auc") - _value(models[worse], "auc"),
        "interval": around,
        "finding": finding(around),
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
