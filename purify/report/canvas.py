"""The canvas of all figures: one style, safe text, and SVG files that follow light and dark schemes."""

from __future__ import annotations

import base64
import io
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

#: Placeholder for the text color of the page: in SVG it follows the light or dark scheme.
INK = "#010203"
#: Mid-tones, distinct on white and on black.
BLUE, ORANGE, YELLOW, GREEN, PALE = "#4a8bd0", "#dd6b45", "#b8962e", "#4f9d69", "#8f98a3"
_DARK_INK = "#e6e9ed"
_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": PALE,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "purify",
}
#: Control characters break SVG, and directional ones reorder the text that follows.
_UNPRINTABLE = {"Cc", "Cs", "Cn"}
_DIRECTION = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@contextmanager
def style() -> Iterator[None]:
    """The style of every figure, independent of the user's matplotlib settings."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


@contextmanager
def canvas(*, width: float = 5.8, height: float) -> Iterator[tuple[Figure, Axes]]:
    """A styled figure of one plot, in inches; narrow enough to stay readable on a phone."""
    with style():
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, figure.add_subplot()


def grid(count: int, *, columns: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure of `count` plots of `width` by `height` inches each, in rows of `columns`."""
    columns = max(1, min(columns, count))
    rows = max(1, -(-count // columns))
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes: Any = figure.subplots(rows, columns, squeeze=False)
    for unused in axes.flat[count:]:
        unused.remove()
    return figure, list(axes.flat[:count])


def legend(axes: Axes) -> None:
    """Put the legend above the plot."""
    axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=2, frameon=False)


def plain_text(text: str, *, most: int = 28) -> str:
    """Untrusted `text` for a figure: without control characters and formulas, cut to `most` characters."""
    kept = "".join(" " if unicodedata.category(c) in _UNPRINTABLE else c for c in text if c not in _DIRECTION)
    return (kept if len(kept) <= most else f"{kept[: most - 1]}\u2026").replace("$", r"\$")


def png_bytes(figure: Figure) -> bytes:
    """The figure as PNG on white."""
    buffer = io.BytesIO()
    with _any_script():
        figure.savefig(buffer, format="png", dpi=140, metadata={"Software": None})
    return buffer.getvalue()


def svg_bytes(figure: Figure) -> bytes:
    """The figure as SVG without background or date; its text color follows the light or dark scheme."""
    buffer = io.StringIO()
    with style(), _any_script():
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    head, tag, body = buffer.getvalue().replace(INK, "currentColor").partition("<defs>")
    light, dark = f":root {{ color: {INK} }}", f":root {{ color: {_DARK_INK} }}"
    return f"{head}<style>{light} @media (prefers-color-scheme: dark) {{ {dark} }}</style>{tag}{body}".encode()


def data_url(content: bytes, kind: str) -> str:
    """An image of a `kind` (png, jpeg, svg+xml) as a data URL."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


@contextmanager
def _any_script() -> Iterator[None]:
    """Silence warnings about missing glyphs: in SVG, the reader's fonts draw them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def horizontal_axis(figure: Figure) -> dict[str, float]:
    """Ends of the first plot's axis: ``left``, ``right`` as shares of the width, ``low``, ``high`` as values."""
    with style():
        figure.draw_without_rendering()
    axes = figure.axes[0]
    box, (low, high) = axes.get_position(), axes.get_xlim()
    return {"left": float(box.x0), "right": float(box.x1), "low": float(low), "high": float(high)}
