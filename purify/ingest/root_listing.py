"""Interface of image roots: entries and listings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from purify.images.defects import Defect, UnreadableImageError
from purify.ingest.faults import Faults
from purify.storage.locations import Location


class Entry(NamedTuple):
    """A file of a root: its relative `name`, and its uri or a problem.

    The name of a folder that can't be listed ends in a slash.
    """

    name: str
    uri: str | None
    problem: str | None = None


@dataclass(frozen=True)
class RootListing:
    """The files of a root without hidden ones, in an order determined by their names or the archive alone."""

    entries: list[Entry] = field(default_factory=list)
    #: Faults that prevent the use of the root as a source.
    faults: Faults = field(default_factory=Faults)
    #: Run folders inside the root, whose files are left out.
    run_folders: list[str] = field(default_factory=list)
    #: What is wrong with an archive that could be read.
    warnings: list[str] = field(default_factory=list)


class Root(Protocol):
    """A folder or archive of images by relative name."""

    @property
    def path(self) -> Location:
        """Path or URL of the root."""

    def find(self, name: str) -> Entry | None:
        """The file of a normalized name, or None; InputError if it leaves the root."""

    def listing(self) -> RootListing:
        """All files of the root."""


def not_a_file(detail: str) -> str:
    """Problem text of an entry that is not a plain file."""
    return str(UnreadableImageError(Defect.NOT_A_FILE, detail))
