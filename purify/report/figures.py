"""The figures of the report, as matplotlib figures: numbers in, picture out."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Points = Sequence[Sequence[float]]

#: Group of samples -> color; mid-tones, to be told apart on white and on black.
_GROUP_COLORS = {"label right": "#4a8bd0", "label wrong": "#dd6b45", "truth not known": "#8f98a3"}
_ONE_GROUP = "#4a8bd0"
#: Model -> color and dashes; the dashes tell the lines apart in print.
_MODEL_LINES = {
    "raw": ("#dd6b45", "--"),
    "random": ("#b8962e", ":"),
    "purified": ("#4a8bd0", "-"),
    "oracle": ("#4f9d69", "-."),
}
_INK, _PALE = "#010203", "#8f98a3"
_DARK_INK = "#e6e9ed"
_BIN_DEGREES = 2.0
_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "text.color": _INK,
    "axes.edgecolor": _PALE,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "purify",
}


def angle_histogram(groups: Mapping[str, npt.NDArray[np.floating]], *, threshold: float) -> Figure:
    """Stacked histogram of each group's angles (degrees) to the dominant sub-center, with the threshold."""
    with mpl.rc_context(_STYLE):
        figure, axes = _canvas(height=2.9)
        known = {name: degrees[np.isfinite(degrees)] for name, degrees in groups.items()}
        largest = max((float(degrees.max(initial=0)) for degrees in known.values()), default=0.0)
        bins = np.arange(0, max(largest, threshold) + 2 * _BIN_DEGREES, _BIN_DEGREES)
        colors = [_GROUP_COLORS.get(name, _ONE_GROUP) for name in known]
        labels = [f"{name} ({len(degrees):,})" for name, degrees in known.items()]
        axes.hist(list(known.values()), bins=bins.tolist(), stacked=True, color=colors, label=labels)
        axes.axvline(threshold, color=_INK, linestyle="--", linewidth=1.2, label=f"threshold {threshold:g}\u00b0")
        axes.set(xlabel="angle to the dominant sub-center (degrees)", ylabel="samples", xlim=(0, bins[-1]))
        _legend(axes)
    return figure


def roc(models: Mapping[str, Points]) -> Figure:
    """True accept rate over false accept rate (log axis) of each model's points (FAR, TAR)."""
    with mpl.rc_context(_STYLE):
        figure, axes = _canvas(height=3.2)
        for name, points in models.items():
            far, tar = np.asarray(points, dtype=float).reshape(-1, 2).T
            color, dashes = _MODEL_LINES.get(name, (_PALE, "-"))
            axes.plot(far, tar, label=name, color=color, linestyle=dashes, linewidth=1.8)
        axes.set(xlabel="false accept rate", ylabel="true accept rate", xscale="log", ylim=(0, 1.02))
        axes.grid(alpha=0.25)
        _legend(axes)
    return figure


def _canvas(*, height: float) -> tuple[Figure, Axes]:
    # Narrow, so that the text is still read where a phone's screen is the width.
    figure = Figure(figsize=(5.8, height), layout="constrained")
    return figure, figure.add_subplot()


def _legend(axes: Axes) -> None:
    axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=2, frameon=False)


def png_bytes(figure: Figure) -> bytes:
    """The figure as PNG on white."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=140, metadata={"Software": None})
    return buffer.getvalue()


def svg_bytes(figure: Figure) -> bytes:
    """The figure as SVG without background or date, whose ink follows the reader's light or dark scheme."""
    buffer = io.StringIO()
    with mpl.rc_context(_STYLE):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    head, tag, body = buffer.getvalue().replace(_INK, "currentColor").partition("<defs>")
    light, dark = f":root {{ color: {_INK} }}", f":root {{ color: {_DARK_INK} }}"
    return f"{head}<style>{light} @media (prefers-color-scheme: dark) {{ {dark} }}</style>{tag}{body}".encode()


def data_url(content: bytes, kind: str) -> str:
    """`content`, an image of that `kind` (png, jpeg, svg+xml), as a URL that needs no file."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
