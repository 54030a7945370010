"""Results of a run: tables as data frames, figures, report."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from purify.errors import InputError
from purify.pipeline.summary import run_summary
from purify.storage.files import read_table
from purify.storage.locations import to_location
from purify.storage.run_folder import RunFolder
from purify.tables.schema import CLASS_REPORT, CLEANED, LABELS, MANIFEST, REMOVED, VERDICTS

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Run:
    """A run folder, read on demand.

    Attributes
    ----------
    folder
        Its paths; ``folder.root`` is the folder itself.
    """

    folder: RunFolder

    def __repr__(self) -> str:
        return f"Run({str(self.folder.root)!r})"

    @cached_property
    def manifest(self) -> pd.DataFrame:
        """Every sample of the source."""
        return _frame(self.folder.manifest, MANIFEST)

    @cached_property
    def verdicts(self) -> pd.DataFrame:
        """Evidence and decision of every usable sample, from the last round."""
        return _frame(self.folder.verdicts, VERDICTS)

    @cached_property
    def classes(self) -> pd.DataFrame:
        """One row per label: size, estimated noise, flag, split and merge proposals."""
        return _frame(self.folder.class_report, CLASS_REPORT)

    @cached_property
    def cleaned(self) -> pd.DataFrame:
        """The cleaned training set: kept and relabeled rows under their final labels."""
        return _frame(self.folder.cleaned, CLEANED)

    @cached_property
    def removed(self) -> pd.DataFrame:
        """The other usable rows, each with its verdict."""
        return _frame(self.folder.removed, REMOVED)

    @cached_property
    def labels(self) -> pd.DataFrame:
        """Old label -> new label -> ``label_id``."""
        return _frame(self.folder.labels, LABELS)

    @cached_property
    def info(self) -> dict[str, Any]:
        """``run.json``: configuration, seeds, versions, timings, counts."""
        return self.folder.read_info()

    @property
    def report(self) -> Path:
        """Path of the report page."""
        return self.folder.report

    def summary(self) -> dict[str, Any]:
        """The figures printed by ``purify run-flow --json``."""
        return run_summary(self.folder)


def read_run(path: str | Path | RunFolder) -> Run:
    """Read a run folder written by any command or call.

    Parameters
    ----------
    path
        Folder or URL of the run.

    Returns
    -------
    Run
        Its tables as data frames, read at first access.

    Raises
    ------
    InputError
        If the folder holds no run.

    Examples
    --------
    >>> import tempfile, numpy as np, purify
    >>> rng = np.random.default_rng(0)
    >>> people = np.repeat(rng.normal(size=(4, 32)), 10, axis=0)
    >>> labels = np.repeat(["ann", "ben", "cem", "dot"], 10)
    >>> labels[0] = "ben"  # a wrong one
    >>> folder = tempfile.mkdtemp()
    >>> saved = purify.find_label_errors(people + 0.2 * rng.normal(size=people.shape), labels).save(folder)
    >>> run = purify.read_run(folder)
    >>> run.removed.empty, run.cleaned.loc[0, ["given_label", "label"]].tolist()
    (True, ['ben', 'ann'])
    """
    folder = path if isinstance(path, RunFolder) else RunFolder.at(to_location(str(path)))
    folder.pull()
    if not folder.info.exists():
        raise InputError(f"{path}: no run.json in this folder, so it is not a run; give the folder of a run")
    return Run(folder)


def _frame(path: Path, schema: pa.Schema) -> pd.DataFrame:
    frame: pd.DataFrame = read_table(path, schema).to_pandas()
    return frame
