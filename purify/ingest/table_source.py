"""A table of paths with image roots as a source."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from purify.errors import InputError
from purify.images.defects import Defect
from purify.ingest.image_roots import ImageRoots
from purify.ingest.root_listing import Entry
from purify.ingest.source_listing import Listing, and_so_on
from purify.ingest.split_folders import SPLITS
from purify.storage.locations import Location
from purify.tables.manifest import is_manifest
from purify.tables.user_tables import read_samples

_MISSING = f"{Defect.MISSING}: not found in any image root"
_NO_LABEL = f"{Defect.NO_LABEL}: without a label in the manifest"


@dataclass(frozen=True)
class TableSource:
    """A table of paths to look up in image roots.

    Images are located by the column ``path``, else by ``sample_id``. Rows keep their order; other columns are ignored.
    A path is also found if its folders are separated by backslashes, or its letters are composed otherwise in Unicode
    (macOS takes accents apart) than the name of the file.
    """

    path: Location
    roots: ImageRoots
    #: Column -> its name in the file, where that differs.
    columns: Mapping[str, str] = field(default_factory=dict)

    def listing(self) -> Listing:
        """See `Source`."""
        optional = ("true_label", "path", "split")
        empty_labels = is_manifest(self.path)
        table = read_samples(self.path, optional=optional, empty_labels=empty_labels, columns=self.columns)
        sample_ids, labels = table["sample_id"].to_pylist(), [label or "" for label in table["label"].to_pylist()]
        names = table["path"].to_pylist() if "path" in table.column_names else sample_ids
        found = [self._find(row, name) for row, name in enumerate(names, start=1)]
        missing = [str(name) for name, entries in zip(names, found, strict=True) if not entries]
        other = [
            str(name) for name, entries in zip(names, found, strict=True) if entries and _is_other(name, entries[0])
        ]
        if len(missing) == len(names):
            raise InputError(
                f"{self.path}: none of its {len(names)} paths (row 1 on: {and_so_on(missing)}) is in the image roots "
                f"({self.roots}){_backslashes(missing)}; give the folders or tars that hold them with --images"
            )
        truth = table["true_label"].to_pylist() if "true_label" in table.column_names else [None] * len(names)
        splits = table["split"].to_pylist() if "split" in table.column_names else ()
        entries = [_entry(*row) for row in zip(names, labels, found, strict=True)]
        return Listing(
            sample_ids,
            labels,
            truth,
            [entry.uri for entry in entries],
            [entry.problem for entry in entries],
            (*self._missing(missing, len(names)), *self._ambiguous(names, found), *_found_otherwise(other)),
            [_split(split) for split in splits] if any(splits) else (),
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
            f"{len(names)} of {rows} images are missing from the image roots ({self.roots}): {and_so_on(names)}"
            f"{_backslashes(names)}; give the folders or tars that hold them with --images",
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


def _entry(name: str, label: str, candidates: Sequence[Entry]) -> Entry:
    if not label.strip():
        return Entry("", None, _NO_LABEL)
    return candidates[0] if candidates else Entry("", None, f"{_MISSING}{_backslashes([name or ''])}")


def _is_other(name: str | None, entry: Entry) -> bool:
    """Whether a file was found by another spelling of its path."""
    given, actual = f"/{posixpath.normpath(name or '')}", f"/{entry.name}"
    return not given.endswith(actual) and not actual.endswith(given)


def _found_otherwise(names: Sequence[str]) -> Sequence[str]:
    """A warning on paths that differ from the names of the files."""
    if not names:
        return ()
    return (
        f"{len(names)} paths were found although they are written with backslashes (Windows), or in another Unicode "
        f"normal form than the names of the files: {and_so_on(names)}",
    )


def _backslashes(missing: Sequence[str]) -> str:
    """What may be the cause of missing images."""
    return "; backslashes separate no folders here (Windows paths?)" if any("\\" in name for name in missing) else ""


def _split(name: str | None) -> str | None:
    return SPLITS.get((name or "").lower(), name) or None
