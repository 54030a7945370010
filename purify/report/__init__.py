"""The report of a run: figures, one self-contained page, and the helpers of the notebooks.

The figures are functions from numbers to matplotlib figures (`purify.report.figures`); `label_angles`,
`label_findings` and `run_overview` compute their arguments from the tables that `read_run` returns.
"""

from purify.report.run_tables import RunTables, read_run

__all__ = ["RunTables", "read_run"]
