"""Splits by folder: ``train/``, ``val/`` and ``test/`` above the label folders, as ImageFolder sets have them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from purify.ingest.leftovers import is_image

#: Name of a folder, in lower case -> the split as in the manifest.
SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True)
class SplitFolders:
    """The level of the split folders, 1 right below the root."""

    level: int

    def split(self, name: str) -> str | None:
        """The split of a file; None for one above the split folders."""
        folders = folders_of(name)
        return SPLITS.get(folders[self.level - 1].lower()) if len(folders) >= self.level else None


def folders_of(name: str) -> list[str]:
    """The folders above a file, the outermost first."""
    return name.split("/")[:-1]


def find_splits(names: Sequence[str], label_depth: int | None) -> SplitFolders | None:
    """The level at which every folder of images is a split, with label folders below it; None without one.

    It is the first level with several folders, or with a split; a `label_depth` at or above it names labels, not
    splits.
    """
    paths = {tuple(folders_of(name)) for name in names if is_image(name)} or {tuple(folders_of(name)) for name in names}
    paths.discard(())
    for level in range(1, max(map(len, paths), default=0)):
        if label_depth is not None and label_depth <= level:
            return None
        at = {path[level - 1] for path in paths if len(path) >= level}
        if all(folder.lower() in SPLITS for folder in at):
            inside = all(len(path) > level for path in paths)
            return SplitFolders(level) if inside else None
        if len(at) > 1:
            return None
    return None
