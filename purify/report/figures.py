"""The figures of a run, as matplotlib figures: numbers in, picture out.

The report, the notebooks and users' own code draw with the same functions. Angles are in degrees, shares in [0, 1].
Nothing here reads a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from purify.report.canvas import BLUE, GREEN, INK, ORANGE, PALE, YELLOW, canvas, grid, legend, plain_text, style
from purify.report.face_selection import evenly_spaced
from purify.report.sweeps import Sweep
from purify.report.verification_rows import measured_fars

Points = Sequence[Sequence[float]]
Degrees = npt.NDArray[np.floating]
#: Name of a group of images -> their angles.
Groups = Mapping[str, Degrees]

_GROUP_COLORS = {
    "label right": BLUE,
    "kept": BLUE,
    "dominant sub-center": BLUE,
    "label wrong": ORANGE,
    "not kept": ORANGE,
    "another sub-center": ORANGE,
    "truth not known": PALE,
}
#: Model -> color and dashes; the dashes tell the lines apart in print.
_MODEL_LINES = {"raw": (ORANGE, "--"), "random": (YELLOW, ":"), "purified": (BLUE, "-"), "oracle": (GREEN, "-.")}
_SHARE_COLORS = (BLUE, YELLOW, ORANGE, GREEN, PALE)
#: Low, as the faces are small.
_FACE_DPI = 80
#: Width of a face in inches, and letters of its caption that fit in one.
_FACE_WIDTH, _LETTERS = 1.1, 16.4
_BIN_DEGREES = 2.0
_WIDE_BIN_DEGREES = 5.0
#: Maximum labels to draw; of more, an evenly spaced sample.
_MOST_BARS = 400


def angle_histogram(groups: Groups, *, threshold: float) -> Figure:
    """Stacked histogram of each group's angles to the dominant sub-center, with the threshold."""
    with canvas(height=2.9) as (figure, axes):
        largest = _draw_angles(axes, groups, threshold, _BIN_DEGREES)
        axes.set(xlabel="angle to the dominant sub-center (degrees)", ylabel="images", xlim=(0, largest))
        legend(axes)
    return figure


def class_histogram(groups: Groups, *, threshold: float, largest: float) -> Figure:
    """`angle_histogram` of one label, small and without text; `largest` is the end of the axis."""
    with canvas(width=2.6, height=0.95) as (figure, axes):
        _draw_class(axes, groups, threshold, largest)
    return figure


def class_histograms(labels: Mapping[str, Groups], *, threshold: float) -> Figure:
    """`class_histogram` of several labels beside each other, on one axis of angles."""
    largest = max((_finite(d).max(initial=0.0) for groups in labels.values() for d in groups.values()), default=0.0)
    with style():
        figure, plots = grid(len(labels), columns=3, width=2.4, height=1.4)
        for axes, (label, groups) in zip(plots, labels.items(), strict=True):
            _draw_class(axes, groups, threshold, largest)
            axes.set_title(plain_text(label), fontsize=9)
    return figure


def noise_by_label(noise_rates: npt.NDArray[np.floating]) -> Figure:
    """Histogram of the labels by their estimated share of wrong images."""
    with canvas(height=2.4) as (figure, axes):
        axes.hist(_finite(noise_rates), bins=np.linspace(0, 1, 21).tolist(), color=ORANGE)
        axes.set(xlabel="estimated share of wrong images", ylabel="labels", xlim=(0, 1))
        axes.xaxis.set_major_formatter(PercentFormatter(1))
    return figure


def label_shares(shares: npt.NDArray[np.floating]) -> Figure:
    """``shares[C, K]`` of each label's images at its sub-centers, as bars by decreasing largest share.

    Rows add up to 1; each row's largest share is the dominant sub-center's.
    """
    ranked = -np.sort(-shares, axis=1)
    ranked = ranked[np.argsort(-ranked[:, 0], kind="stable")]
    ranked = ranked[evenly_spaced(len(ranked), _MOST_BARS)]
    with canvas(height=2.6) as (figure, axes):
        below = np.zeros(len(ranked))
        for k in range(ranked.shape[1]):
            name = "dominant" if k == 0 else f"no. {k + 1}"
            values = np.r_[below + ranked[:, k], np.nan]
            color = _SHARE_COLORS[min(k, len(_SHARE_COLORS) - 1)]
            axes.stairs(values[:-1], baseline=below, fill=True, color=color, label=name)
            below = below + ranked[:, k]
        axes.set(xlabel="labels, by falling share", ylabel="share of the images", ylim=(0, 1))
        axes.set(xlim=(0, max(1, len(ranked))), xticks=[])
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        legend(axes)
    return figure


def threshold_sweep(sweeps: Mapping[str, Sweep], *, images: int, threshold: float) -> Figure:
    """Share of `images` removed by each rule at every angle, and the part of it expected to be wrong."""
    with canvas(height=2.9) as (figure, axes):
        for (name, sweep), color in zip(sweeps.items(), (BLUE, YELLOW, GREEN), strict=False):
            axes.plot(sweep.at, sweep.removed / max(images, 1), color=color, label=name)
            if sweep.expected_wrong is not None:
                wrong = sweep.expected_wrong / max(images, 1)
                axes.plot(sweep.at, wrong, color=color, linestyle=":", label=f"{name}: of these wrong")
        axes.axvline(threshold, color=INK, linestyle="--", linewidth=1.2, label=f"threshold {threshold:g}\u00b0")
        axes.set(xlabel="threshold (degrees)", ylabel="share of all images", ylim=(0, None))
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.grid(alpha=0.25)
        legend(axes)
    return figure


def precision_sweep(sweep: Sweep, *, images: int) -> Figure:
    """Share of `images` removed at each wanted precision, the minimum share of wrong ones among them."""
    with canvas(height=2.6) as (figure, axes):
        axes.plot(sweep.at, sweep.removed / max(images, 1), color=BLUE, marker=".", label="removed")
        if sweep.precision is not None:
            twin = axes.twinx()
            twin.plot(sweep.at, sweep.precision, color=ORANGE, linestyle="--", label="wrong in truth")
            twin.plot(sweep.at, sweep.at, color=PALE, linestyle=":", label="as asked for")
            twin.set(ylabel="share of the removed", ylim=(None, 1.02))
            twin.yaxis.set_major_formatter(PercentFormatter(1))
            twin.legend(loc="lower left", frameon=False, fontsize=8)
        axes.set(xlabel="wanted precision", ylabel="share of all images", ylim=(0, None))
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.grid(alpha=0.25)
    return figure


def k_sweep(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Outcome for the images with different numbers K of sub-centers.

    The `rows`, one for each K, have the fields of `purify.report.subcenter_sweep.SubcenterCount`.
    """
    ks = [row["subcenters"] for row in rows]
    with canvas(height=2.8) as (figure, axes):
        lines = (
            ("dominant_share", "at the dominant sub-center", BLUE, "-"),
            ("removed_official", "removed by official", ORANGE, "--"),
            ("removed_paper", "removed by paper", YELLOW, ":"),
            ("average_precision", "average precision of the angle", GREEN, "-."),
        )
        for key, name, color, dashes in lines:
            if all(row[key] is not None for row in rows):
                axes.plot(ks, [row[key] for row in rows], color=color, linestyle=dashes, marker="o", label=name)
        axes.set(xlabel="sub-centers a label (K)", ylabel="share", ylim=(0, 1.02), xticks=ks)
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.grid(alpha=0.25)
        legend(axes)
    return figure


def roc(models: Mapping[str, Points]) -> Figure:
    """True accept rate over false accept rate (log axis) of each model's points (FAR, TAR)."""
    with canvas(height=3.2) as (figure, axes):
        for name, points in models.items():
            far, tar = np.asarray(points, dtype=float).reshape(-1, 2).T
            color, dashes = _MODEL_LINES.get(name, (PALE, "-"))
            axes.plot(far, tar, label=plain_text(name), color=color, linestyle=dashes, linewidth=1.8)
        axes.set(xlabel="false accept rate", ylabel="true accept rate", xscale="log", ylim=(0, 1.02))
        axes.grid(alpha=0.25)
        legend(axes)
    return figure


def tar_at_far(models: Mapping[str, Mapping[str, Any]]) -> Figure:
    """True accept rate of the ``models`` of ``evaluation.json`` at each false accept rate, with intervals."""
    fars = measured_fars(models)
    with canvas(height=2.8) as (figure, axes):
        for k, (name, model) in enumerate(models.items()):
            found = [(i, rates[far]) for i, far in enumerate(fars) if far in (rates := model.get("tar_at_far", {}))]
            values = np.array([entry["value"] for _, entry in found])
            bounds = np.array([entry["interval"] for _, entry in found]).reshape(-1, 2)
            color, _ = _MODEL_LINES.get(name, (PALE, "-"))
            places = np.array([i for i, _ in found]) + (k - (len(models) - 1) / 2) * 0.15
            reach = np.abs(bounds.T - values)
            axes.errorbar(places, values, yerr=reach, fmt="os^D"[k % 4], color=color, capsize=3, label=plain_text(name))
        axes.set(xlabel="false accept rate", ylabel="true accept rate", ylim=(0, 1.02))
        axes.set_xticks(range(len(fars)), fars)
        axes.grid(alpha=0.25, axis="y")
        legend(axes)
    return figure


def transitions(before: Sequence[str], after: Sequence[str], counts: npt.NDArray[np.integer]) -> Figure:
    """Numbers of images by decision before (rows) and after (columns): ``counts[before, after]``."""
    with canvas(width=4.6, height=3.0) as (figure, axes):
        shade = np.log1p(np.where(np.eye(*counts.shape) > 0, 0, counts))
        axes.imshow(shade, cmap="Oranges", vmin=0, vmax=2 * max(1.0, shade.max()))
        for (i, j), count in np.ndenumerate(counts):
            axes.text(j, i, f"{count:,}", ha="center", va="center", color="black")
        axes.set_xticks(range(len(after)), [plain_text(name) for name in after])
        axes.set_yticks(range(len(before)), [plain_text(name) for name in before])
        axes.set(xlabel="after", ylabel="before")
    return figure


def contact_sheet(
    pictures: Sequence[npt.NDArray[np.uint8]],
    captions: Sequence[str],
    *,
    columns: int = 8,
    width: float = _FACE_WIDTH,
    title: str = "",
) -> Figure:
    """RGB ``pictures[H, W, 3]`` with a caption below each; `width` of one in inches."""
    with style():
        figure, plots = grid(len(pictures), columns=columns, width=width, height=width + 0.25)
        figure.set_dpi(_FACE_DPI)
        for axes, picture, caption in zip(plots, pictures, captions, strict=True):
            axes.imshow(picture)
            axes.set_axis_off()
            lines = [plain_text(line, most=round(_LETTERS * width)) for line in caption.split("\n")]
            axes.text(0.5, -0.05, "\n".join(lines), transform=axes.transAxes, fontsize=7, ha="center", va="top")
        if title:
            figure.suptitle(plain_text(title, most=80), fontsize=10)
    return figure


def _draw_angles(axes: Axes, groups: Groups, threshold: float, width: float, largest: float = 0.0) -> float:
    """Draw the stacked histogram and the threshold; returns the end of the axis."""
    known = {name: _finite(degrees) for name, degrees in groups.items()}
    largest = max([largest, threshold, *(float(degrees.max(initial=0)) for degrees in known.values())])
    bins = np.arange(0, largest + 2 * width, width)
    colors = [_GROUP_COLORS.get(name, BLUE) for name in known]
    names = [f"{name} ({len(degrees):,})" for name, degrees in known.items()]
    if known:
        axes.hist(list(known.values()), bins=bins.tolist(), stacked=True, color=colors, label=names)
    axes.axvline(threshold, color=INK, linestyle="--", linewidth=1.2, label=f"threshold {threshold:g}\u00b0")
    return float(bins[-1])


def _draw_class(axes: Axes, groups: Groups, threshold: float, largest: float) -> None:
    end = _draw_angles(axes, groups, threshold, _WIDE_BIN_DEGREES, largest)
    axes.set(xlim=(0, end), yticks=[], xticks=[0, 30, 60, 90])
    axes.spines["left"].set_visible(False)
    axes.tick_params(labelsize=8)


def _finite(values: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    return values[np.isfinite(values)]
