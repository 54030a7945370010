"""What a run found, for people: figures, one self-contained page, and what the notebooks look with.

The figures are functions from numbers to matplotlib figures (`purify.report.figures`); `purify.report.tables` and
`purify.report.labels` make their arguments from a run that `read_run` has read.
"""

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
