"""Labels from folders: the level of the label folders above the images, given or inferred."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from purify.ingest.faults import Faults
from purify.ingest.leftovers import is_image
from purify.ingest.source_listing import and_so_on
from purify.ingest.split_folders import SplitFolders, folders_of
from purify.storage.locations import as_text

LAYOUT = "put the images into one folder per label, as in Some_Name/1.jpg, or list them in a table of path,label"
_MOST_CHOICES = 4


@dataclass(frozen=True)
class LabelLevel:
    """The level of the label folders, 1 right below the root.

    Files above it have no label; if it is `inferred`, none of them is an image.
    """

    depth: int
    inferred: bool
    splits: SplitFolders | None = None

    def label(self, name: str) -> str:
        """The label of a file; empty for one above the label folders."""
        folders = folders_of(name)
        if len(folders) >= self.depth:
            return folders[self.depth - 1]
        return ""

    def folder(self, name: str) -> str:
        """Path of the label folder of a file, without that of its split."""
        folders = folders_of(name)[: self.depth]
        return "/".join(folders[self.splits.level :] if self.splits else folders)

    def split(self, name: str) -> str | None:
        """The split of a file."""
        return self.splits.split(name) if self.splits else None


def find_label_depth(
    names: Sequence[str], given: int | None, faults: Faults, splits: SplitFolders | None = None
) -> LabelLevel:
    """The `given` level of the label folders, or the one that the files called `names` suggest.

    A level without images, and an ambiguous level, are added to the `faults`: labels must not be guessed.
    """
    inside = [name for name in names if "/" in name]
    images = [name for name in inside if is_image(name)] or inside  # as a last resort, names without a suffix
    folders = Counter(tuple(folders_of(name)) for name in images)
    deepest = max(map(len, folders), default=0)
    if names and deepest < (given or 1):
        where = f"on level {given} (label_depth)" if given and deepest else "of a label"
        faults.add_text(f"no image lies in a folder {where}; {LAYOUT}")
    if given is not None:
        return LabelLevel(given, inferred=False, splits=splits)
    below = splits.level if splits else 0
    above = {path[below : deepest - 1] for path in folders}
    if deepest and (len(above) > 1 or min(map(len, folders)) < deepest):
        faults.add_text(_question(folders, deepest))
    return LabelLevel(max(deepest, below + 1), inferred=True, splits=splits)


def _question(folders: Counter[tuple[str, ...]], deepest: int) -> str:
    choices = [_choice(folders, depth) for depth in range(1, min(deepest, _MOST_CHOICES) + 1)]
    question = "images lie in nested folders; choose the level of the labels (ingest.label_depth):"
    return "\n    ".join([question, *choices])


def _choice(folders: Counter[tuple[str, ...]], depth: int) -> str:
    labels = sorted({as_text(path[depth - 1]) for path in folders if len(path) >= depth})
    above = sum(count for path, count in folders.items() if len(path) < depth)
    without = f"; {above} images above that level would have none" if above else ""
    return f"--label-depth {depth}: {len(labels)} label{'s' if len(labels) > 1 else ''} ({and_so_on(labels)}){without}"
