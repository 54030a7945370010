"""Image roots: folders, tars and zips, in which paths are looked up and images listed."""

from __future__ import annotations

import posixpath
import stat
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from purify.errors import InputError
from purify.images.defects import Defect
from purify.ingest.folder_root import FolderRoot
from purify.ingest.leftovers import find_run_folders, is_hidden
from purify.ingest.root_listing import Entry, Root, RootListing, not_a_file
from purify.storage import remote
from purify.storage.brace_patterns import is_brace_pattern
from purify.storage.files import readable
from purify.storage.locations import Location, Url, container_uri, file_uri, inner_path, is_url
from purify.storage.tar_index import index_tar
from purify.storage.zip_archive import index_zip, is_zip

#: Files whose images have keys instead of paths.
_KEYED = (".rec", ".parquet", ".arrow", ".lmdb", ".mdb", ".tsv")


def open_root(path: Location) -> Root:
    """A folder, tar or zip as a root; InputError if it is none of them."""
    if isinstance(path, Url):
        if path.suffix.lower() == ".zip":
            raise InputError(f"{path}: a zip on a store can't be read; copy it here first")
        return RemoteFolderRoot(path) if remote.is_folder(path) else TarRoot(path)
    if is_brace_pattern(path.name) and not path.exists():
        raise InputError(f"{path}: images can't be looked up by path in it; give folders or archives with --images")
    with readable(path):
        mode = path.stat().st_mode
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        raise InputError(f"{path}: neither a folder nor a file; expected a folder, a .tar or a .zip")
    if stat.S_ISDIR(mode):
        return FolderRoot(path)
    if path.suffix.lower() in _KEYED:
        raise InputError(f"{path}: its images have no paths; give the folders or archives of others with --images")
    return ZipRoot(path) if is_zip(path) else TarRoot(path)


class ArchiveRoot:
    """A tar or zip. If all its files lie below one folder, their names may be given without it."""

    def __init__(self, path: Location, members: Collection[str], refused: Mapping[str, str]) -> None:
        self.path = path
        self._members, self._refused = members, refused

    def find(self, name: str) -> Entry | None:
        """See `Root`."""
        for inner in (name, f"{self._top}{name}"):
            if inner in self._members or inner in self._refused:
                return self._entry(inner)
        return None

    def listing(self) -> RootListing:
        """See `Root`."""
        return _listing_of((*self._members, *self._refused), self._entry)

    def _entry(self, name: str) -> Entry:
        """The entry of a file that is known to be there."""
        if name in self._refused:
            return Entry(name, None, self.problem(self._refused[name]))
        return Entry(name, container_uri(self.kind, name, self.path))

    @cached_property
    def _top(self) -> str:
        """Path of the folder that holds everything."""
        visible = [name for name in (*self._members, *self._refused) if not is_hidden(name)]
        ends = [posixpath.dirname(name) for name in (min(visible), max(visible))] if visible else [""]
        common = posixpath.commonpath(ends)
        return f"{common}/" if common else ""

    #: Kind of container, as in a uri.
    kind: ClassVar[str]

    def problem(self, why: str) -> str:
        """Problem text of a member that can't be read."""
        raise NotImplementedError


class ZipRoot(ArchiveRoot):
    """A zip."""

    kind = "zip"

    def __init__(self, path: Path) -> None:
        index = index_zip(path.resolve())
        super().__init__(path.resolve(), index.members, index.refused)

    def problem(self, why: str) -> str:
        """See `ArchiveRoot`."""
        return f"{Defect.UNSUPPORTED}: {why}"


class TarRoot(ArchiveRoot):
    """A tar."""

    kind = "tar"

    def __init__(self, path: Location) -> None:
        path = path.resolve() if isinstance(path, Path) else path
        index = index_tar(path)
        super().__init__(path, index.members, index.refused)
        self._notes = index.notes

    def problem(self, why: str) -> str:
        """See `ArchiveRoot`."""
        return not_a_file(f"{why} in the archive; only files are read")

    def listing(self) -> RootListing:
        """See `Root`."""
        listing = super().listing()
        listing.warnings.extend(f"{self.path} {note}" for note in self._notes)
        return listing


class RemoteFolderRoot:
    """A folder on a store; it is listed once, since each look-up of a name would take a request."""

    def __init__(self, url: Url) -> None:
        self.path = url

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(remote.list_files(self.path))

    def find(self, name: str) -> Entry | None:
        """See `Root`."""
        return Entry(name, file_uri(self.path / name)) if name in self._names else None

    def listing(self) -> RootListing:
        """See `Root`."""
        return _listing_of(sorted(self._names), self.find)


def _listing_of(names: Collection[str], find: Callable[[str], Entry | None]) -> RootListing:
    """The entries of `names`, all files of a root."""
    runs = find_run_folders(names)
    inside = tuple(f"{run}/" for run in runs)
    visible = (name for name in names if not is_hidden(name) and not name.startswith(inside))
    return RootListing(entries=[entry for name in visible if (entry := find(name))], run_folders=runs)


class ImageRoots:
    """Several roots, searched in the order given; InputError if one is no folder, tar or zip."""

    def __init__(self, paths: Sequence[Location]) -> None:
        self.roots = tuple(open_root(path) for path in paths)
        self._composed_names: dict[Root, Mapping[str, str]] = {}
        # Absolute paths may name a root as given by the user, or with its links resolved.
        self._prefixes = [
            (f"{prefix}/", root)
            for path, root in zip(paths, self.roots, strict=True)
            for prefix in (path.absolute() if isinstance(path, Path) else path, root.path)
        ]

    def __str__(self) -> str:
        return ", ".join(str(root.path) for root in self.roots)

    def names(self) -> Iterator[str]:
        """Relative names of all images, root after root; names in earlier roots are not repeated."""
        seen: set[str] = set()
        for root in self.roots:
            listing = root.listing()
            listing.faults.refuse(root.path)
            for entry in listing.entries:
                if entry.uri is not None and entry.name not in seen:
                    seen.add(entry.name)
                    yield entry.name

    def resolve(self, path: str) -> str | None:
        """Uri of the image at a relative path (or an absolute one, or a URL, inside a root); None without one.

        InputError if the path or a link on it leaves the root.
        """
        entry = next(self._entries(path), None)
        return entry.uri if entry else None

    def find_all(self, path: str) -> list[Entry]:
        """The entries of `path`, several if it is ambiguous; unreadable ones have a problem."""
        return list({entry.uri: entry for entry in self._entries(path)}.values())

    def _entries(self, path: str) -> Iterator[Entry]:
        """The entries of a path as written, else with slashes for backslashes, else in another Unicode normal form."""
        spellings = [path, path.replace("\\", "/")] if "\\" in path else [path]
        for spelling in spellings:
            if found := list(self._entries_of(spelling)):
                return iter(found)
        return iter([] if path.isascii() else list(self._entries_in_other_form(spellings[-1])))

    def _entries_in_other_form(self, path: str) -> Iterator[Entry]:
        wanted = unicodedata.normalize("NFC", path)
        roots, name = self._place_of(wanted)
        for root in roots:
            if (actual := self._composed(root).get(name)) and (entry := root.find(actual)):
                yield entry

    def _composed(self, root: Root) -> Mapping[str, str]:
        """Names of the root's images in normal form C -> as they are, of those that differ; listed once."""
        if root not in self._composed_names:
            names = (entry.name for entry in root.listing().entries if not entry.name.isascii())
            composed = {unicodedata.normalize("NFC", name): name for name in names}
            self._composed_names[root] = composed
        return self._composed_names[root]

    def _place_of(self, path: str) -> tuple[Sequence[Root], str]:
        """The roots in which to look for a path, and its name in them."""
        if path.startswith("/") or is_url(path):
            return self._root_of(path)
        return self.roots, inner_path(path)

    def _entries_of(self, path: str) -> Iterator[Entry]:
        roots, name = self._place_of(path)
        found = False
        for root in roots:
            try:
                entry = root.find(name)
            except InputError:
                if not found:  # a link of a later root doesn't matter
                    raise
                continue
            if entry is not None:
                found = True
                yield entry

    def _root_of(self, path: str) -> tuple[tuple[Root, ...], str]:
        for prefix, root in self._prefixes:
            if path.startswith(prefix):
                return (root,), inner_path(path.removeprefix(prefix))
        raise InputError(f"{path}: an absolute path outside the image roots ({self}); add its folder as a root")
