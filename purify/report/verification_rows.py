"""Verification results in the order in which the report shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

#: Models in the order of the set that they were trained on, from the given one to the truly clean one.
_MODELS = ("raw", "random", "purified", "oracle")
_DIFFERENCES = ("purified-raw", "purified-random", "purified-oracle", "oracle-raw")


def ordered_models(evaluation: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The models of an evaluation, in a fixed order."""
    return _in_order(evaluation["models"], _MODELS)


def ordered_differences(evaluation: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The paired differences of an evaluation, in a fixed order, each with a ``finding`` from its interval."""
    differences = _in_order(evaluation["differences"], _DIFFERENCES)
    return {name: {**figures, "finding": _finding(figures["interval"])} for name, figures in differences.items()}


def measured_fars(models: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """False accept rates that some model has a figure for, coarsest first."""
    return sorted({far for model in models.values() for far in model["tar_at_far"]}, key=float, reverse=True)


def _finding(interval: Sequence[float]) -> str:
    low, high = interval
    if low > 0:
        return "better"
    return "worse" if high < 0 else "no clear difference"


def _in_order(entries: Mapping[str, Any], first: Sequence[str]) -> dict[str, Any]:
    """The entries that `first` names, in its order, then the others by name."""
    names = [name for name in first if name in entries] + sorted(set(entries) - set(first))
    return {name: entries[name] for name in names}
