"""Rows of a listing whose images lie in containers, gathered one by one."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from purify.errors import InputError
from purify.images.defects import Defect
from purify.ingest.source_listing import Listing
from purify.ingest.split_folders import SPLITS
from purify.ingest.text_column import TextRows
from purify.storage.locations import Location


@dataclass
class KeyedRows:
    """Samples gathered for a `Listing`."""

    warnings: list[str] = field(default_factory=list)
    #: Sample id, label, true label, uri, problem and split of each.
    _rows: TextRows = field(default_factory=lambda: TextRows(6))
    _has_splits: bool = False

    def add(
        self,
        sample_id: str,
        label: str | None,
        uri: str,
        *,
        problem: str | None = None,
        split: str | None = None,
        true_label: str | None = None,
    ) -> None:
        """Append a sample; without a label it gets a problem, and one with a problem no uri."""
        label = label or ""
        if problem is None and not label.strip():
            label, problem = "", f"{Defect.NO_LABEL}: without a label in the source"
        self._has_splits |= split is not None
        self._rows.append((sample_id, label, true_label, uri if problem is None else None, problem, split))

    def listing(self, source: Location, *, nothing: str) -> Listing:
        """The gathered samples; InputError if there are none, with the text `nothing`."""
        ids, labels, true_labels, uris, problems, splits = self._rows.columns()
        if not ids:
            raise InputError(f"{source}: {nothing}")
        warnings = tuple(self.warnings)
        return Listing(ids, labels, true_labels, uris, problems, warnings, splits if self._has_splits else ())


def split_of(path: Path) -> str | None:
    """The split that the parts of a relative path name, such as ``data/train-00000-of-00002.parquet``."""
    words = [path.name.partition(".")[0].partition("-")[0], *reversed(path.parent.parts)]
    return next((SPLITS[word.lower()] for word in words if word.lower() in SPLITS), None)


def split_called(name: str | None) -> str | None:
    """A split as the manifest calls it, by its name in a source: ``val`` for ``validation``."""
    return SPLITS.get(name.lower(), name) if name else None


def local_source(source: Location) -> Path:
    """The path of a source; InputError if it is on a store, from where these formats can't be read."""
    if not isinstance(source, Path):
        raise InputError(f"{source}: this format is read from a local disk only; copy it here first")
    return source
