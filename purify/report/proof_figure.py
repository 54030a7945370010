"""The picture of a proof: each cell's AUC with its interval, the raw network and the oracle as lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from purify.report.canvas import BLUE, INK, PALE, canvas, data_url, plain_text, svg_bytes

_ENDS = ("k1-raw", "oracle")


def proof_picture(cells: Sequence[Mapping[str, Any]]) -> str:
    """Data URL of a picture with a line a cell; `cells` are those of ``proof.json``."""
    shown = [cell for cell in cells if "auc" in cell][::-1]
    values = np.array([cell["auc"]["value"] for cell in shown])
    reach = np.abs(np.array([cell["auc"]["interval"] for cell in shown]).T - values)
    with canvas(height=0.9 + 0.32 * len(shown)) as (figure, axes):
        for cell in shown:
            if cell["name"] in _ENDS:
                axes.axvline(cell["auc"]["value"], color=PALE, linestyle="--", linewidth=1)
        places = np.arange(len(shown))
        axes.errorbar(values, places, xerr=reach, fmt="o", color=BLUE, ecolor=INK, capsize=3)
        for place, cell in zip(places, shown, strict=True):
            known = [value for value in cell["auc"]["by_seed"] if value is not None]
            axes.plot(known, [place] * len(known), "|", color=INK, markersize=8)
        axes.set_yticks(places, [plain_text(cell["title"], most=40) for cell in shown])
        axes.set(xlabel="AUC")
        axes.grid(alpha=0.25, axis="x")
    return data_url(svg_bytes(figure), "svg+xml")
