"""What a protocol answers: figures with intervals, and what it refuses to say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from purify.arrays import Floats
from purify.evaluation.gain import finding
from purify.evaluation.intervals import interval
from purify.evaluation.people_bootstrap import draw_units
from purify.evaluation.verification import Scores


@dataclass(frozen=True)
class Figure:
    """A figure in [0, 1], with its 95 % interval where one was drawn, and its spread over folds where there are any.

    `draws` are the bootstrap values behind the interval, the same people for every model of a protocol and a seed.
    """

    value: float
    interval: tuple[float, float] | None = None
    std: float | None = None
    draws: Scores = field(default_factory=lambda: np.empty(0), repr=False, compare=False)

    @classmethod
    def of(cls, value: float, draws: Scores, *, std: float | None = None) -> Figure:
        """A figure with the percentile interval of its bootstrap values ``draws[B]``; without any, none."""
        if not len(draws):
            return cls(float(value), None, std)
        low, high = interval(draws)
        return cls(float(value), (low, high), std, draws)

    def minus(self, other: Figure) -> Figure | None:
        """The paired difference, with its interval; None where nothing was drawn, or not as often for both."""
        if not len(self.draws) or len(self.draws) != len(other.draws):
            return None
        return Figure.of(self.value - other.value, self.draws - other.draws)

    def to_json(self) -> dict[str, Any]:
        """``value`` and, where present, ``interval`` and ``std``."""
        further = {"interval": list(self.interval) if self.interval else None, "std": self.std}
        return {"value": self.value, **{name: value for name, value in further.items() if value is not None}}


@dataclass(frozen=True)
class ProtocolFigures:
    """Figures of one model by name, those that the data can't support with the reason, and counts of the data."""

    figures: Mapping[str, Figure]
    refused: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    #: What the interval was drawn over: ``people``, ``pairs``, ``templates``.
    drawn_over: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "figures": {name: figure.to_json() for name, figure in self.figures.items()},
            "refused": dict(self.refused),
            "order": [*self.figures, *self.refused],
            "counts": {name: int(count) for name, count in self.counts.items()},
            "drawn_over": self.drawn_over,
        }


def paired_differences(this: ProtocolFigures, that: ProtocolFigures) -> dict[str, dict[str, Any]]:
    """What `this` model is better in than `that`: the difference of each figure, its interval, and the ``finding``.

    Both were measured on the same draws of people. *Better* is said only where the whole interval is on that side; of
    the equal error rate, less is better.
    """
    found = {}
    for name, figure in this.figures.items():
        difference = figure.minus(that.figures[name]) if name in that.figures else None
        if difference is not None and difference.interval is not None:
            low, high = difference.interval
            better = (-high, -low) if name.startswith("EER") else (low, high)
            found[name] = {**difference.to_json(), "finding": finding(better)}
    return found


def far_name(rate: str, far: float) -> str:
    """Name of a figure at a rate, such as ``TAR@FAR=1e-4``."""
    mantissa, _, exponent = f"{far:e}".partition("e")
    number = f"{float(mantissa):g}e{int(exponent)}"
    return f"{rate}={number}"


def drawn_figures(
    names: Sequence[str], values: Callable[[Floats], Sequence[float] | Floats], units: int, *, samples: int, seed: int
) -> dict[str, Figure]:
    """Figures of these names, with intervals over `units` (people, templates or probes).

    ``values`` gives them for units drawn as often as its argument [U] says; NaN where a draw leaves nothing to measure.
    """
    rng = np.random.default_rng(seed)
    draws = np.array([values(draw_units(rng, units)) for _ in range(samples)])
    draws = draws[~np.isnan(draws).any(axis=1)]
    whole = values(np.ones(units))
    return {name: Figure.of(value, drawn) for name, value, drawn in zip(names, whole, draws.T, strict=True)}


def refusals(
    rate: str, fars: Sequence[float], usable: Sequence[float], impostors: int, *, kind: str = "different pairs"
) -> dict[str, str]:
    """Names of the figures at those of `fars` that are not `usable`, with the reason."""
    return {far_name(rate, far): refusal(far, impostors, kind=kind) for far in fars if far not in usable}


def refusal(far: float, impostors: int, *, kind: str = "different pairs") -> str:
    """Why a rate finer than one impostor is not measured."""
    return f"needs {round(1 / far):,} {kind}, there are {impostors:,}"
