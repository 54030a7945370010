"""The figures of the report, as matplotlib figures; numbers in, picture out."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence

import matplotlib

matplotlib.use("Agg")

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

_KEPT, _NOISE, _LINE = "#3572b0", "#d1603d", "#7a7a7a"
_MODEL_COLORS = {"raw": _NOISE, "random": "#b59a30", "purified": _KEPT, "oracle": "#4b8f5b"}
_BIN_DEGREES = 2.0


def _figure() -> Figure:
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    figure.patch.set_facecolor("white")
    return figure


def angle_histogram(
    degrees: npt.NDArray[np.float32], *, wrong: npt.NDArray[np.bool_] | None, threshold: float
) -> Figure:
    """``degrees[N]`` to the dominant sub-center; `wrong` (where truth is known) splits right from wrong labels."""
    figure = _figure()
    axes = figure.add_subplot()
    bins = np.arange(0, max(120.0, float(degrees.max())) + _BIN_DEGREES, _BIN_DEGREES)
    if wrong is None:
        axes.hist(degrees, bins=bins, color=_KEPT, label="all samples")
    else:
        parts = [degrees[~wrong], degrees[wrong]]
        axes.hist(parts, bins=bins, stacked=True, color=[_KEPT, _NOISE], label=["label right", "label wrong"])
    axes.axvline(threshold, color=_LINE, linestyle="--", label=f"threshold {threshold:g} degrees")
    axes.set(xlabel="angle to the dominant sub-center (degrees)", ylabel="samples")
    axes.legend(frameon=False)
    return figure


def roc(models: Mapping[str, Sequence[Sequence[float]]]) -> Figure:
    """Points (FAR, TAR) of each model, FAR on a log axis."""
    figure = _figure()
    axes = figure.add_subplot()
    for name, points in models.items():
        far, tar = np.asarray(points, dtype=float).T
        axes.plot(far, tar, label=name, color=_MODEL_COLORS.get(name))
    axes.set(xlabel="false accept rate", ylabel="true accept rate", xscale="log", ylim=(0, 1.02))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, loc="lower right")
    return figure


def png_bytes(figure: Figure) -> bytes:
    """The figure as PNG, without a date in it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def data_url(content: bytes, kind: str) -> str:
    """`content` as a URL that needs no file."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
