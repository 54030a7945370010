"""The report of a run: figures, one self-contained page, and the helpers of the notebooks.

The figures are functions from numbers to matplotlib figures (`purify.report.figures`); `label_angles`,
`label_findings` and `run_overview` compute their arguments from the tables that `read_run` returns.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from purify.report.figures import (
        angle_histogram,
        class_histogram,
        class_histograms,
        contact_sheet,
        k_sweep,
        label_shares,
        noise_by_label,
        precision_sweep,
        roc,
        tar_at_far,
        threshold_sweep,
        transitions,
    )
    from purify.report.run_tables import RunTables, read_run

__all__ = [
    "RunTables",
    "angle_histogram",
    "class_histogram",
    "class_histograms",
    "contact_sheet",
    "k_sweep",
    "label_shares",
    "noise_by_label",
    "precision_sweep",
    "read_run",
    "roc",
    "tar_at_far",
    "threshold_sweep",
    "transitions",
]

_RUN_TABLES = ("RunTables", "read_run")


def __getattr__(name: str) -> Any:
    """Import at first use: the review page shows faces, and must not wait for matplotlib and torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "run_tables" if name in _RUN_TABLES else "figures"
    return getattr(import_module(f"{__name__}.{module}"), name)
