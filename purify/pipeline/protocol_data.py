"""The files of a protocol among those that the user gave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from purify.config import PurifyConfig
from purify.errors import InputError
from purify.evaluation.protocols.named import NamedProtocol
from purify.ingest.image_roots import ImageRoots
from purify.storage.locations import Location

#: Folders of a set in which InsightFace keeps metadata.
_INSIDE = ("", "meta", "data")


@dataclass(frozen=True)
class ProtocolData:
    """Files and folders of test sets, image roots, and what training has seen, if a manifest was given."""

    places: Sequence[Location]
    roots: ImageRoots
    config: PurifyConfig

    def find(self, protocol: NamedProtocol, group: str) -> Location | None:
        """The file of one of the names in `group` (``a|b``), or a single given file where only one is needed."""
        names = group.split("|")
        given = [place for place in self.places if place.name in names]
        inside = [
            place / folder / name
            for place in self.places
            if isinstance(place, Path) and place.is_dir()
            for folder in _INSIDE
            for name in names
            if (place / folder / name).is_file()
        ]
        found = given + inside
        if not found and len(self.places) == 1 and len(protocol.files) <= 1 and not _is_folder(self.places[0]):
            return self.places[0]
        return found[0] if found else None

    def require(self, protocol: NamedProtocol, group: str) -> Location:
        """The same; InputError, with the usual names, if it is not there."""
        found = self.find(protocol, group)
        if found is None:
            wanted = group.replace("|", " or ") or "a file"
            raise InputError(
                f"{protocol.name}: needs {wanted}; give the file, or a folder that holds it, with --data "
                f"(given: {', '.join(place.name for place in self.places) or 'nothing'})"
            )
        return found


def _is_folder(place: Location) -> bool:
    return isinstance(place, Path) and place.is_dir()


def files_of(protocol: NamedProtocol, data: ProtocolData) -> list[Location]:
    """All files of a protocol that are there; for a fingerprint."""
    return [found for group in protocol.files or ("",) if (found := data.find(protocol, group)) is not None]
