"""A folder, tar or zip of ``label/image`` as a source."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from purify.images.defects import Defect
from purify.ingest.faults import Fault, Faults
from purify.ingest.folder_labels import LAYOUT, LabelLevel, find_label_depth
from purify.ingest.leftovers import find_sidecars, is_image
from purify.ingest.root_listing import Entry, Root, RootListing
from purify.ingest.source_listing import Listing, and_so_on
from purify.ingest.split_folders import find_splits
from purify.ingest.text_column import TextColumn, TextRows
from purify.storage.locations import as_text

#: Folders as img2dataset numbers them.
_PART = re.compile(r"\d{5}")
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
        samples = [
            _Sample(as_text(entry.name), as_text(label), entry)
            for entry in candidates
            if (label := level.label(entry.name)) or is_image(entry.name) or entry.name.endswith("/")
        ]
        if not samples:
            found.faults.add_text(f"no images found; {LAYOUT}")
        _check(samples, level, found.faults)
        found.faults.refuse(self.root.path)
        samples.sort(key=attrgetter("sample_id"))
        return _listing(samples, level, found, sidecars)


class _Sample(NamedTuple):
    """An image with its id and label; without one, the label is empty."""

    sample_id: str
    label: str
    entry: Entry


def _listing(samples: Sequence[_Sample], level: LabelLevel, found: RootListing, sidecars: Collection[str]) -> Listing:
    stray = [sample.sample_id for sample in samples if not sample.label]
    warnings, runs = list(found.warnings), found.run_folders
    if stray:
        images = f"{len(stray)} images lie" if len(stray) > 1 else "1 image lies"
        warnings.append(f"{images} in no label folder ({and_so_on(stray)}) and can't be used: status no_label")
    warnings += _described(samples, sidecars)
    if runs:
        warnings.append(f"inside the source, the folders of purify's own runs were skipped: {and_so_on(runs)}")
    rows = TextRows(5)
    for sample_id, label, entry in samples:
        uri, problem = (entry.uri, entry.problem) if label else (None, _above(entry))
        rows.append((sample_id, label, uri, problem, None))
    sample_ids, labels, uris, problems, nothing = rows.columns()
    splits = TextColumn(level.split(sample.entry.name) for sample in samples) if level.splits else ()
    return Listing(sample_ids, labels, nothing, uris, problems, tuple(warnings), splits)


def _described(samples: Sequence[_Sample], sidecars: Collection[str]) -> Sequence[str]:
    """A hint where the folders are rather parts of a set than labels, and a ``.json`` describes each image."""
    labels = {sample.label for sample in samples if sample.label}
    described = sum(name.lower().endswith(".json") for name in sidecars)
    if described < len(samples) / 2 or (len(labels) > 1 and not all(map(_PART.fullmatch, labels))):
        return ()
    return (
        f"the labels are the folders ({and_so_on(sorted(labels))}); if the .json beside each image names the person, "
        "give its field by --label-field",
    )


def _above(entry: Entry) -> str:
    """Why an image above the label folders, or a folder there that can't be listed, is none to use."""
    return entry.problem if entry.problem and entry.name.endswith("/") else _NO_LABEL


def _check(samples: Sequence[_Sample], level: LabelLevel, faults: Faults) -> None:
    folders: dict[str, str] = {}
    ids: dict[str, str] = {}
    for sample_id, label, (name, _, _) in samples:
        if label and not label.strip():
            faults.add(Fault.EMPTY_LABEL, sample_id)
        if level.inferred and folders.setdefault(label, folder := level.folder(name)) != folder:
            faults.add(Fault.SAME_LABEL, f"{as_text(folders[label])} and {as_text(folder)}")
        if ids.setdefault(sample_id, name) != name:
            faults.add(Fault.SAME_NAME, sample_id)
