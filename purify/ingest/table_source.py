"""A table of paths with image roots as a source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from purify.errors import InputError
from purify.images.defects import Defect
from purify.ingest.image_roots import ImageRoots
from purify.ingest.root_listing import Entry
from purify.ingest.source_listing import Listing, and_so_on
from purify.storage.locations import Location
from purify.tables.manifest import is_manifest
from purify.tables.user_tables import read_samples

_MISSING = f"{Defect.MISSING}: not found in any image root"
_NO_LABEL = f"{Defect.NO_LABEL}: without a label in the manifest"


@dataclass(frozen=True)
class TableSource:
    """A Parquet or CSV table of paths to look up in image roots.

    Images are located by the column ``path``, else by ``sample_id``. Rows keep their order; other columns are ignored.
    """

    path: Location
    roots: ImageRoots

    def listing(self) -> Listing:
        """See `Source`."""
        table = read_samples(self.path, optional=("true_label", "path"), empty_labels=is_manifest(self.path))
        sample_ids, labels = table["sample_id"].to_pylist(), [label or "" for label in table["label"].to_pylist()]
        names = table["path"].to_pylist() if "path" in table.column_names else sample_ids
        found = [self._find(row, name) for row, name in enumerate(names, start=1)]
        missing = [str(name) for name, entries in zip(names, found, strict=True) if not entries]
        if len(missing) == len(names):
            raise InputError(
                f"{self.path}: none of its {len(names)} paths (row 1 on: {and_so_on(missing)}) is in the image roots "
                f"({self.roots}); give the folders or tars that hold them with --images"
            )
        truth = table["true_label"].to_pylist() if "true_label" in table.column_names else [None] * len(names)
        entries = [_entry(label, candidates) for label, candidates in zip(labels, found, strict=True)]
        return Listing(
            sample_ids,
            labels,
            truth,
            [entry.uri for entry in entries],
            [entry.problem for entry in entries],
            (*self._missing(missing, len(names)), *self._ambiguous(names, found)),
        )

    def _find(self, row: int, name: str | None) -> list[Entry]:
        try:
            return self.roots.find_all(name or "")
        except InputError as error:
            raise InputError(f"{self.path}: row {row}: {error}") from error

    def _missing(self, names: Sequence[str], rows: int) -> Sequence[str]:
        if not names:
            return ()
        return (
            f"{len(names)} of {rows} images are missing from the image roots ({self.roots}): {and_so_on(names)}; "
            "give the folders or tars that hold them with --images",
        )

    def _ambiguous(self, names: Sequence[str | None], found: Sequence[Sequence[Entry]]) -> Sequence[str]:
        several = [str(name) for name, entries in zip(names, found, strict=True) if len(entries) > 1]
        if not several:
            return ()
        paths = f"{len(several)} paths are" if len(several) > 1 else "1 path is"
        return (
            f"{paths} in more than one image root ({self.roots}), and the first root was taken: {and_so_on(several)}; "
            "where the images differ, ingest one table per root, or write absolute paths into the table",
        )


def _entry(label: str, candidates: Sequence[Entry]) -> Entry:
    if not label.strip():
        return Entry("", None, _NO_LABEL)
    return candidates[0] if candidates else Entry("", None, _MISSING)
