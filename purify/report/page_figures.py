"""The report's figures as inline images, each with a text alternative."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from purify.report import figures, label_angles, label_findings
from purify.report.canvas import data_url, horizontal_axis, svg_bytes
from purify.report.label_findings import SubcenterShares
from purify.report.run_tables import RunTables


@dataclass(frozen=True)
class PageFigure:
    """A figure as a data URL, with its text alternative."""

    url: str
    alt: str


def run_pictures(run: RunTables, shares: SubcenterShares | None) -> dict[str, Any]:
    """Figures of the whole run, and the position of the histogram's axis."""
    groups = label_angles.angle_groups(run.manifest, run.verdicts)
    histogram = figures.angle_histogram(groups, threshold=run.threshold)
    by_center = label_angles.subcenter_groups(run.verdicts)
    subcenters = figures.angle_histogram(by_center, threshold=run.threshold)
    rates = run.class_report["noise_rate"].to_numpy().astype(np.float64)
    sweeps = label_angles.angle_sweeps(run.manifest, run.verdicts, calibrated=run.calibrated)
    return {
        "histogram": _picture(histogram, _angles_in_words(groups, run.threshold)),
        "axis": horizontal_axis(histogram),
        "subcenter_figure": _picture(subcenters, _angles_in_words(by_center, run.threshold)),
        "threshold_figure": _picture(
            figures.threshold_sweep(sweeps, images=len(run.verdicts), threshold=run.threshold),
            "Share of the images that the rules official and paper remove at every angle; the table above has figures.",
        ),
        "noise_figure": _picture(figures.noise_by_label(rates), _noise_in_words(rates)),
        "shares_figure": _picture(figures.label_shares(shares.shares), _shares_in_words(shares)) if shares else None,
    }


def label_pictures(run: RunTables, cards: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The cards with their ``histogram``, all on one axis of angles."""
    names = [card["label"] for card in cards]
    groups = label_angles.label_angle_groups(run.manifest, run.verdicts, label_findings.by_label(run.verdicts, names))
    largest = max((float(np.nanmax(d)) for g in groups.values() for d in g.values() if np.isfinite(d).any()), default=0)
    pictures = [
        _picture(
            figures.class_histogram(groups[name], threshold=run.threshold, largest=largest),
            _angles_in_words(groups[name], run.threshold),
        )
        for name in names
    ]
    return [{**card, "histogram": picture} for card, picture in zip(cards, pictures, strict=True)]


def verification_pictures(models: Mapping[str, Mapping[str, Any]]) -> dict[str, PageFigure | None]:
    """Curves of the models, if the evaluation has any."""
    curves = {name: model["roc"] for name, model in models.items() if model.get("roc")}
    pictures: dict[str, PageFigure | None] = {"roc": None, "tar": None}
    if curves:
        pictures["roc"] = _picture(figures.roc(curves), "True accept rate over false accept rate of each model.")
    if any(model.get("tar_at_far") for model in models.values()):
        rates = figures.tar_at_far(models)
        pictures["tar"] = _picture(rates, "True accept rate of each model at each false accept rate.")
    return pictures


def _picture(figure: Figure, alt: str) -> PageFigure:
    return PageFigure(data_url(svg_bytes(figure), "svg+xml"), alt)


def _angles_in_words(groups: Mapping[str, npt.NDArray[np.floating]], threshold: float) -> str:
    parts = []
    for name, degrees in groups.items():
        known = degrees[np.isfinite(degrees)]
        middle = f", median {np.median(known):.1f} degrees" if len(known) else ""
        parts.append(f"{name}: {len(known):,} images{middle}")
    return f"Histogram of the angles to the dominant sub-center. {'; '.join(parts)}. Threshold {threshold:g} degrees."


def _noise_in_words(rates: npt.NDArray[np.float64]) -> str:
    known = rates[np.isfinite(rates)]
    if not len(known):
        return "Histogram of the labels by their estimated share of wrong images: no label has one."
    low, middle, high = np.quantile(known, [0.1, 0.5, 0.9])
    return (
        f"Histogram of {len(known):,} labels by their estimated share of wrong images: "
        f"median {middle:.0%}, one in ten below {low:.0%}, one in ten above {high:.0%}."
    )


def _shares_in_words(shares: SubcenterShares) -> str:
    largest = shares.shares.max(axis=1)
    return (
        f"Shares of the images of {len(largest):,} labels at each of their sub-centers: the dominant one has "
        f"{np.median(largest):.0%} of a label's images in the median, {largest.min():.0%} at least."
    )
