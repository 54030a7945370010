"""Figures by the number of images that a sample's label has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.rivals import Scores
from benchmarks.scenarios import Scenario
from purify.arrays import Floats, Mask
from purify.evaluation.detection import detection_figures

_ENDS = {"1": 1, "2": 2, "3": 3, "4-5": 5, "6-9": 9, "10+": np.inf}
_PLAIN = "{:.3f}"
#: Title -> figure, and how it is written.
_SHOWN = {
    "F1": ("f1", _PLAIN),
    "precision": ("precision", _PLAIN),
    "recall": ("recall", _PLAIN),
    "clean kept": ("clean_kept", _PLAIN),
    "p - right": ("overconfidence", "{:+.3f}"),
}
Methods = Mapping[str, Mapping[str, Any]]
_COUNTS = ("labels", "rows", "wrong")
_DASH = "-"


def size_groups(scenario: Scenario) -> dict[str, Mask]:
    """Name -> the samples whose label has as many images; groups without any are left out."""
    images = np.bincount(scenario.data.label_index)[scenario.data.label_index]
    least = (0, *_ENDS.values())
    groups = {name: (images > low) & (images <= high) for low, (name, high) in zip(least, _ENDS.items(), strict=False)}
    return {name: inside for name, inside in groups.items() if inside.any()}


def figures_by_size(scores: Scores, scenario: Scenario) -> dict[str, dict[str, Any]]:
    """Size -> counts and figures; ``overconfidence`` is the mean probability less the share of right labels.

    ``labels``, ``rows`` and ``not_kept`` count all samples, the others those whose truth is known.
    """
    return {name: _figures(scores, scenario, inside) for name, inside in size_groups(scenario).items()}


def _figures(scores: Scores, scenario: Scenario, inside: Mask) -> dict[str, Any]:
    counted = inside & scenario.truth.known
    trust, wrong = scores.trust[counted], scenario.truth.is_noise[counted]
    figures = detection_figures(trust, scores.removed[counted], wrong)
    return {
        "labels": len(np.unique(scenario.data.label_index[inside])),
        "rows": int(inside.sum()),
        "wrong": int(wrong.sum()),
        "not_kept": int(scores.removed[inside].sum()),
        **{name: figures[name] for name in ("f1", "precision", "recall", "clean_kept")},
        "overconfidence": _overconfidence(trust, wrong) if scores.meaning == "probability" else None,
    }


def _overconfidence(trust: Floats, wrong: Mask) -> float | None:
    return float(trust.mean() - (~wrong).mean()) if len(trust) else None


def size_rows(methods: Methods) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a table of all methods; no rows if the labels are all of one size group.

    First what there is to judge; then each figure, for the methods that have it.
    """
    groups = _groups(methods)
    rows = [[name, "", *(f"{group[name]:,}" for group in groups.values())] for name in _COUNTS]
    for title, (key, show) in _SHOWN.items():
        cells = {name: [_text(group[key], show) for group in groups.values()] for name, groups in _each(methods)}
        rows += [[title, name, *row] for name, row in cells.items() if any(cell != _DASH for cell in row)]
    return ["figure", "method", *groups], rows if len(groups) > 1 else []


def natural_rows(methods: Methods) -> tuple[list[str], list[list[str]]]:
    """Header and rows of what each method does with a set as published: rows not kept, in all and by size."""
    groups = _groups(methods)
    rows = [["all rows", *_with_total([group["rows"] for group in groups.values()]), _DASH, _DASH]]
    for name, figures in methods.items():
        counts = _with_total([group["not_kept"] for group in figures["by_size"].values()])
        rows.append([name, *counts, f"{figures['suggested']:,}", f"{figures['seconds']:.1f}"])
    return ["method", "not kept", *(f"of {name}" for name in groups), "relabeled", "seconds"], rows


def _groups(methods: Methods) -> Mapping[str, Any]:
    """The groups of any method: their counts of rows are those of all."""
    return next((groups for _, groups in _each(methods)), {})


def _each(methods: Methods) -> Iterator[tuple[str, Mapping[str, Any]]]:
    return ((name, figures["by_size"]) for name, figures in methods.items())


def _with_total(counts: Sequence[int]) -> list[str]:
    return [f"{count:,}" for count in (sum(counts), *counts)]


def _text(value: float | None, show: str) -> str:
    return _DASH if value is None else show.format(value)
