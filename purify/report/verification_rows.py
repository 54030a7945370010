"""Verification results in the order in which the report shows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from purify.evaluation.gain import finding, gap_sentence

#: Models from the raw to the truly clean training set.
MODEL_ORDER = ("raw", "random", "purified", "oracle")
_DIFFERENCES = ("purified-raw", "purified-random", "purified-oracle", "oracle-raw")
_GAP_FIGURES = {"auc": "AUC", "accuracy": "accuracy"}
_GAP = "In {figure}, from the raw to the truly clean set, purification closed {gap}."
_ABOVE_ONE = (
    "A share above 100 % does not mean cleaner than clean: it divides by a gap of only {gap:.4f} in AUC, another "
    "training seed would move every model, and the purified set keeps relabeled images that the clean one leaves out."
)


def ordered_models(evaluation: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The models of an evaluation in display order."""
    return _in_order(evaluation["models"], MODEL_ORDER)


def ordered_differences(evaluation: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The paired differences of an evaluation in display order, each with a ``finding`` from its interval."""
    differences = _in_order(evaluation["differences"], _DIFFERENCES)
    return {name: {**figures, "finding": finding(figures["interval"])} for name, figures in differences.items()}


def model_pairs(models: Iterable[str]) -> list[tuple[str, str]]:
    """Which models are compared, as (this, with that): those of a run as in its evaluation, others with the first."""
    known = {*models}
    pairs = [(this, that) for this, _, that in (name.partition("-") for name in _DIFFERENCES) if {this, that} <= known]
    first, *others = list(_in_order(dict.fromkeys(known), MODEL_ORDER))
    return pairs + [(name, first) for name in others if all(name not in pair for pair in pairs)]


def measured_fars(models: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """False accept rates measured for any model, coarsest first."""
    return sorted({far for model in models.values() for far in model.get("tar_at_far", {})}, key=float, reverse=True)


def _in_order(entries: Mapping[str, Any], first: Sequence[str]) -> dict[str, Any]:
    """The entries in the order of `first`, then the others by name."""
    names = [name for name in first if name in entries] + sorted(set(entries) - set(first))
    return {name: entries[name] for name in names}


@dataclass(frozen=True)
class GapClosed:
    """Share of the gap from the raw to the truly clean set that was closed.

    A `short` form for one `figure`, its `interval` in shares, and `sentences` for all figures.
    """

    short: str
    figure: str
    interval: Sequence[float]
    sentences: Sequence[str]


def gap_closed(evaluation: Mapping[str, Any]) -> GapClosed | None:
    """The share in words, with what a share above 1 means; None where no share is given."""
    closed = evaluation.get("gap_closed") or {}
    shares = {name: closed[name] for name in _GAP_FIGURES if closed.get(name)}
    if not shares:
        return None
    sentences = [_GAP.format(figure=_GAP_FIGURES[name], gap=gap_sentence(share)) for name, share in shares.items()]
    gap = evaluation["differences"].get("oracle-raw")
    if gap is not None and any(share["value"] > 1 for share in shares.values()):
        sentences.append(_ABOVE_ONE.format(gap=gap["auc"]))
    name, share = next(iter(shares.items()))
    return GapClosed(_short(share), _GAP_FIGURES[name], share["interval"], sentences)


def _short(share: Mapping[str, Any]) -> str:
    if share["interval"][0] <= 0:
        return "none for sure"
    return "all" if share["value"] >= 1 else f"{100 * share['value']:.0f}\u00a0%"
