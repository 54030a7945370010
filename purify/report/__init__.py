"""The report of a run: figures, one self-contained page, and the helpers of the notebooks.

The figures are functions from numbers to matplotlib figures (`purify.report.figures`); `label_angles`,
`label_findings` and `run_overview` compute their arguments from the tables that `read_run` returns.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from purify.report.run_tables import RunTables, read_run

__all__ = ["RunTables", "read_run"]


def __getattr__(name: str) -> Any:
    """Import at first use: a flow run must start before faiss, which the rules need, is loaded."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from purify.report import run_tables

    return getattr(run_tables, name)
