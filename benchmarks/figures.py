"""Figures of a method on a scenario, and how they are shown: the cells of a table, a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.rivals import Scores
from benchmarks.scenarios import Truth
from purify.evaluation.detection import detection_figures

#: Figures of a method; results: scenario -> method -> figures.
Figures = Mapping[str, Any]
Results = Mapping[str, Mapping[str, Figures]]

_DASH = "-"
_KINDS = ("flip", "outlier", "mixed", "split")
_FLIP = "flip"


@dataclass(frozen=True)
class _Column:
    title: str
    path: tuple[str, ...]
    digits: int = 3


_COLUMNS = (
    _Column("AP", ("average_precision",)),
    _Column("AUROC", ("auroc",)),
    _Column("precision", ("precision",)),
    _Column("recall", ("recall",)),
    _Column("F1", ("f1",)),
    _Column("clean kept", ("clean_kept",)),
    *(_Column(kind, ("recall_per_kind", kind)) for kind in _KINDS),
    _Column("ECE", ("ece",)),
    _Column("Brier", ("brier",)),
    _Column("relabel right", ("relabel_accuracy",)),
    _Column("flips home", ("flips_home",)),
    _Column("seconds", ("seconds",), digits=1),
)


def method_figures(scores: Scores, truth: Truth) -> dict[str, Any]:
    """`detection_figures` of the samples whose truth is known, and of its suggested labels.

    ``ece`` and ``brier`` are None where the method claims no probability. ``relabel_accuracy`` is the share of
    the true label among the ``n_relabeled`` suggested ones, ``flips_home`` the share of all samples of kind
    ``flip`` that got it; both None where the method never relabels. ``suggested`` counts the labels that it would give,
    those of unknown truth too; ``sweep`` is that of the `scores`.
    """
    known = truth.known
    kind = None if truth.kind is None else truth.kind[known]
    figures = detection_figures(scores.trust[known], scores.removed[known], truth.is_noise[known], kind=kind)
    if scores.meaning != "probability":
        figures |= {"ece": None, "brier": None}
    suggested = 0 if scores.suggested is None else int((scores.suggested >= 0).sum())
    return figures | _relabel_figures(scores, truth) | {"suggested": suggested, "sweep": scores.sweep}


def _relabel_figures(scores: Scores, truth: Truth) -> dict[str, Any]:
    if scores.suggested is None:
        return {"n_relabeled": 0, "relabel_accuracy": None, "flips_home": None}
    moved = truth.known & (scores.suggested >= 0)
    home = moved & (scores.suggested == truth.true_index)
    flips = truth.known & truth.is_noise & (truth.kind == _FLIP) if truth.kind is not None else np.zeros_like(moved)
    return {
        "n_relabeled": int(moved.sum()),
        "relabel_accuracy": float(home.sum() / moved.sum()) if moved.any() else None,
        "flips_home": float(home[flips].mean()) if flips.any() else None,
    }


def figure_rows(methods: Mapping[str, Figures]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the figures of one scenario."""
    return ["method", *(column.title for column in _COLUMNS)], _rows(methods)


def sweeps(methods: Mapping[str, Figures]) -> list[str]:
    """A line for each method whose cut was chosen by the truth: F1 of every cut tried."""
    return [
        f"{name}, F1 by cut: " + ", ".join(f"{cut} {f1:.3f}" for cut, f1 in figures["sweep"].items())
        for name, figures in methods.items()
        if figures["sweep"] is not None
    ]


def picture(results: Results) -> Figure:
    """F1 and share of right labels kept, for each method (rows) and scenario (columns); a dash is undefined."""
    scenarios = list(results)
    methods = list(dict.fromkeys(method for figures in results.values() for method in figures))
    width, height = 2.6 + 0.62 * len(scenarios), 1.4 + 0.3 * len(methods)
    figure = Figure(figsize=(2 * width, height), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    panels = ((left, "f1", "F1 of the noise", 0.5), (right, "clean_kept", "right labels kept", 0.9))
    for axes, key, title, palest in panels:
        _draw_grid(axes, [[results[s].get(m, {}).get(key) for s in scenarios] for m in methods], palest=palest)
        axes.set_title(title)
        axes.set_xticks(range(len(scenarios)), scenarios, rotation=30, ha="right")
        axes.set_yticks(range(len(methods)), methods)
    return figure


def _draw_grid(axes: Axes, values: Sequence[Sequence[float | None]], *, palest: float) -> None:
    grid = np.array([[np.nan if value is None else value for value in row] for row in values])
    axes.imshow(grid, vmin=palest, vmax=1, cmap="Blues", aspect="auto")
    for (row, column), value in np.ndenumerate(grid):
        text = _DASH if np.isnan(value) else f"{value:.3f}"
        ink = "white" if value > (1 + palest) / 2 else "black"
        axes.text(column, row, text, ha="center", va="center", fontsize=7, color=ink)


def _rows(methods: Mapping[str, Figures]) -> list[list[str]]:
    return [[name, *(_cell(figures, column) for column in _COLUMNS)] for name, figures in methods.items()]


def _cell(figures: Figures, column: _Column) -> str:
    value: Any = figures
    for key in column.path:
        value = value.get(key) if value is not None else None
    return _DASH if value is None else f"{value:.{column.digits}f}"
