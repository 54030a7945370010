"""Rows of a listing whose images lie in containers, gathered one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from purify.errors import InputError
from purify.images.defects import Defect
from purify.ingest.source_listing import Listing
from purify.ingest.split_folders import SPLITS
from purify.ingest.text_column import TextColumn
from purify.storage.locations import Location


@dataclass
class KeyedRows:
    """Samples gathered for a `Listing`; the number of columns is that of its fields."""

    sample_ids: TextColumn[str] = field(default_factory=TextColumn)
    labels: TextColumn[str] = field(default_factory=TextColumn)
    true_labels: TextColumn[str | None] = field(default_factory=TextColumn)
    uris: TextColumn[str | None] = field(default_factory=TextColumn)
    problems: TextColumn[str | None] = field(default_factory=TextColumn)
    splits: TextColumn[str | None] = field(default_factory=TextColumn)
    warnings: list[str] = field(default_factory=list)

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
        self.sample_ids.append(sample_id)
        self.labels.append(label)
        self.true_labels.append(true_label)
        self.uris.append(uri if problem is None else None)
        self.problems.append(problem)
        self.splits.append(split)

    def listing(self, source: Location, *, nothing: str) -> Listing:
        """The gathered samples; InputError if there are none, with the text `nothing`."""
        if not self.sample_ids:
            raise InputError(f"{source}: {nothing}")
        splits: Sequence[str | None] = self.splits if any(self.splits) else ()
        return Listing(
            self.sample_ids,
            self.labels,
            self.true_labels,
            self.uris,
            self.problems,
            tuple(self.warnings),
            splits,
        )


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
