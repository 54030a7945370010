"""The files of a protocol among those that the user gave."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from purify.config import PurifyConfig
from purify.errors import InputError
from purify.evaluation.protocols.named import NamedProtocol
from purify.ingest.image_roots import ImageRoots
from purify.pipeline.trained_images import TrainedImages
from purify.storage.locations import Location

#: Folders of a set in which InsightFace keeps metadata.
_INSIDE = ("", "meta", "data")


@dataclass(frozen=True)
class ProtocolData:
    """Files and folders of test sets, image roots, the configuration, and what the models were trained on.

    `embedded` are the names of the images in given embeddings, which need no image roots.
    """

    places: Sequence[Location]
    roots: ImageRoots
    config: PurifyConfig
    trained: TrainedImages
    embedded: Collection[str] = ()

    def names(self) -> Iterable[str]:
        """Names of all images: those in the roots, without roots those in given embeddings."""
        return self.roots.names() if self.roots.roots or not self.embedded else self.embedded

    def find(self, protocol: NamedProtocol, group: str) -> Location | None:
        """See `find_file`."""
        return find_file(protocol, group, self.places)

    def require(self, protocol: NamedProtocol, group: str) -> Location:
        """See `require_file`."""
        return require_file(protocol, group, self.places)


def find_file(protocol: NamedProtocol, group: str, places: Sequence[Location]) -> Location | None:
    """The file of one of the names in `group` (``a|b``), or a single given file where only one is needed."""
    names = group.split("|")
    inside = [
        place / folder / name
        for place in places
        if _is_folder(place)
        for folder in _INSIDE
        for name in names
        if _is_file(place / folder / name)
    ]
    found = [place for place in places if place.name in names] + inside
    if not found and len(places) == 1 and len(protocol.files) <= 1 and not _is_folder(places[0]):
        return places[0]
    return found[0] if found else None


def require_file(protocol: NamedProtocol, group: str, places: Sequence[Location]) -> Location:
    """The same; InputError, with the usual names, if it is not there."""
    found = find_file(protocol, group, places)
    if found is None:
        wanted = group.replace("|", " or ") or "a file"
        raise InputError(
            f"{protocol.name}: needs {wanted}; give the file, or a folder that holds it, with --data "
            f"(given: {', '.join(place.name for place in places) or 'nothing'})"
        )
    return found


def _is_folder(place: Location) -> bool:
    return isinstance(place, Path) and place.is_dir()


def _is_file(place: Location) -> bool:
    return isinstance(place, Path) and place.is_file()
