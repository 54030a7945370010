"""A folder, tar or zip of ``label/image`` as a source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from purify.images.defects import Defect
from purify.ingest.faults import Fault, Faults
from purify.ingest.folder_labels import LAYOUT, LabelLevel, find_label_depth
from purify.ingest.leftovers import find_sidecars, is_image
from purify.ingest.root_listing import Entry, Root, RootListing
from purify.ingest.source_listing import Listing, and_so_on
from purify.ingest.split_folders import find_splits
from purify.storage.locations import as_text

_NO_LABEL = f"{Defect.NO_LABEL}: in no label folder; move it into one"


@dataclass(frozen=True)
class TreeSource:
    """A folder, tar or zip of ``label/image``: a sample's label is the name of a folder above it.

    Folders ``train``, ``val`` and ``test`` above the labels are splits of one set, with one set of labels. Images above
    the label folders are rows without a label. Hidden files, sidecars, run folders, and non-images
    above the label folders (a README, a list) are not samples. Samples are sorted by id, the relative path.
    """

    root: Root
    #: Level of the label folders, 1 right below the root; folders of equal names are one label. None: the images' own
    #: folders, if all lie on one level below a single chain of folders (``lfw/Name/1.jpg``, ``Name/1.jpg``).
    label_depth: int | None = None

    def listing(self) -> Listing:
        """See `Source`."""
        found = self.root.listing()
        sidecars = find_sidecars(entry.name for entry in found.entries)
        candidates = [entry for entry in found.entries if entry.name not in sidecars]
        names = [entry.name for entry in candidates]
        splits = find_splits(names, self.label_depth)
        level = find_label_depth(names, self.label_depth, found.faults, splits)
        entries = [entry for entry in candidates if level.label(entry.name) or is_image(entry.name)]
        if not entries:
            found.faults.add_text(f"no images found; {LAYOUT}")
        _check(entries, level, found.faults)
        found.faults.refuse(self.root.path)
        entries.sort(key=lambda entry: as_text(entry.name))
        return _listing(entries, level, found)


def _listing(entries: Sequence[Entry], level: LabelLevel, found: RootListing) -> Listing:
    labels = [as_text(level.label(entry.name)) for entry in entries]
    stray = [as_text(entry.name) for entry, label in zip(entries, labels, strict=True) if not label]
    warnings, runs = list(found.warnings), found.run_folders
    if stray:
        images = f"{len(stray)} images lie" if len(stray) > 1 else "1 image lies"
        warnings.append(f"{images} in no label folder ({and_so_on(stray)}) and can't be used: status no_label")
    if runs:
        warnings.append(f"inside the source, the folders of purify's own runs were skipped: {and_so_on(runs)}")
    return Listing(
        [as_text(entry.name) for entry in entries],
        labels,
        [None] * len(entries),
        [entry.uri if label else None for entry, label in zip(entries, labels, strict=True)],
        [entry.problem if label else _NO_LABEL for entry, label in zip(entries, labels, strict=True)],
        tuple(warnings),
        [level.split(entry.name) for entry in entries] if level.splits else (),
    )


def _check(entries: Sequence[Entry], level: LabelLevel, faults: Faults) -> None:
    folders: dict[str, str] = {}
    ids: dict[str, str] = {}
    for entry in entries:
        sample_id, folder = as_text(entry.name), level.folder(entry.name)
        label = as_text(level.label(entry.name))
        if label and not label.strip():
            faults.add(Fault.EMPTY_LABEL, sample_id)
        if level.inferred and folders.setdefault(label, folder) != folder:
            faults.add(Fault.SAME_LABEL, f"{as_text(folders[label])} and {as_text(folder)}")
        if ids.setdefault(sample_id, entry.name) != entry.name:
            faults.add(Fault.SAME_NAME, sample_id)
