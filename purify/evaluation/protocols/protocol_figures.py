"""What a protocol answers: figures with intervals, and what it refuses to say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from purify.arrays import Floats
from purify.evaluation.intervals import interval
from purify.evaluation.people_bootstrap import draw_units
from purify.evaluation.verification import Scores


@dataclass(frozen=True)
class Figure:
    """A figure in [0, 1], with its 95 % interval where one was drawn, and its spread over folds where there are any."""

    value: float
    interval: tuple[float, float] | None = None
    std: float | None = None

    @classmethod
    def of(cls, value: float, draws: Scores, *, std: float | None = None) -> Figure:
        """A figure with the percentile interval of its bootstrap values ``draws[B]``; without any, none."""
        if not len(draws):
            return cls(float(value), None, std)
        low, high = interval(draws)
        return cls(float(value), (low, high), std)

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
