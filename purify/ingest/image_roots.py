"""Image roots: folders and tars, here or on a store, in which paths are looked up and whose images are listed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Protocol

from purify.errors import InputError
from purify.images.defects import Defect, UnreadableImageError
from purify.storage import remote
from purify.storage.files import readable
from purify.storage.locations import Location, Url, as_text, file_uri, inner_path, is_hidden, is_url, tar_uri
from purify.storage.tar_index import index_tar


@dataclass(frozen=True)
class Entry:
    """A file of a root: `name` relative to it, and its uri, or the problem why it has none."""

    name: str
    uri: str | None
    problem: str | None = None


class Root(Protocol):
    """A place that holds images by relative name."""

    @property
    def path(self) -> Location:
        """Where it is."""

    def find(self, name: str) -> Entry | None:
        """The file of that normalized name, or None; InputError if it leads out of the root."""

    def entries(self) -> Iterator[Entry]:
        """All files but hidden ones, in an order that depends on their names or the archive alone."""


def open_root(path: Location) -> Root:
    """A folder or an uncompressed tar as a root; InputError if it is neither."""
    if isinstance(path, Url):
        return RemoteFolderRoot(path) if remote.is_folder(path) else TarRoot(path)
    with readable(path):
        mode = path.stat().st_mode
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        raise InputError(f"{path}: neither a folder nor a file; expected a folder or an uncompressed .tar")
    return FolderRoot(path) if stat.S_ISDIR(mode) else TarRoot(path)


class TarRoot:
    """An uncompressed tar."""

    def __init__(self, path: Location) -> None:
        self.path = path.resolve() if isinstance(path, Path) else path
        self._index = index_tar(self.path)

    def find(self, name: str) -> Entry | None:
        """See `Root`."""
        if name in self._index.members:
            return Entry(name, tar_uri(name, self.path))
        if name in self._index.refused:
            return Entry(name, None, _problem(f"{self._index.refused[name]} in the archive; only files are read"))
        return None

    def entries(self) -> Iterator[Entry]:
        """See `Root`."""
        for name in (*self._index.members, *self._index.refused):
            if not is_hidden(name) and (entry := self.find(name)):
                yield entry


class FolderRoot:
    """A folder; links are followed to files inside it only."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self._parent_inside = lru_cache(maxsize=4096)(self._inside)  # a folder of images is resolved once

    def find(self, name: str) -> Entry | None:
        """See `Root`."""
        path = self.path / name
        try:
            inside = self._parent_inside(path.parent) and (not path.is_symlink() or self._inside(path))
            mode = path.stat().st_mode if inside else 0
        except PermissionError:
            return Entry(name, file_uri(path))  # reading it says so
        except OSError:
            return None
        if not inside:
            raise InputError(f"{as_text(name)}: a link that leaves the root {self.path}; put a copy of the file there")
        return Entry(name, file_uri(path)) if stat.S_ISREG(mode) else None

    def entries(self) -> Iterator[Entry]:
        """See `Root`."""
        pending = [""]
        while pending:
            folder = pending.pop()
            children = self._list(folder)
            pending.extend(
                reversed([f"{folder}{child.name}/" for child in children if child.is_dir(follow_symlinks=False)])
            )
            for child in children:
                if not child.is_dir(follow_symlinks=False):
                    yield self._entry(f"{folder}{child.name}", child)

    def _entry(self, name: str, child: os.DirEntry[str]) -> Entry:
        if child.is_symlink() and child.is_dir():
            raise InputError(
                f"{self.path}: {as_text(name)} is a linked folder, not followed; put the folder itself there"
            )
        return self.find(name) or Entry(name, None, _problem("a broken link, device or pipe; only files are read"))

    def _list(self, folder: str) -> list[os.DirEntry[str]]:
        path = self.path / folder
        with readable(path), os.scandir(path) as children:
            return sorted((child for child in children if not is_hidden(child.name)), key=lambda child: child.name)

    def _inside(self, path: Path) -> bool:
        # Path.resolve raises a RuntimeError on a loop of links
        return Path(os.path.realpath(path)).is_relative_to(self.path)


class RemoteFolderRoot:
    """A folder on a store; it is listed once, since to ask for each name would take a request each."""

    def __init__(self, url: Url) -> None:
        self.path = url

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(remote.list_files(self.path))

    def find(self, name: str) -> Entry | None:
        """See `Root`."""
        return Entry(name, file_uri(self.path / name)) if name in self._names else None

    def entries(self) -> Iterator[Entry]:
        """See `Root`."""
        for name in sorted(self._names):
            if not is_hidden(name):
                yield Entry(name, file_uri(self.path / name))


class ImageRoots:
    """Several roots, searched in the order given.

    Parameters
    ----------
    paths
        Folders or uncompressed tars.

    Raises
    ------
    InputError
        If one is missing, can't be read, or is neither.
    """

    def __init__(self, paths: Sequence[Location]) -> None:
        self.roots = tuple(open_root(path) for path in paths)
        # Absolute paths may name a root as the user did, or as its links resolve.
        self._prefixes = [
            (f"{prefix}/", root)
            for path, root in zip(paths, self.roots, strict=True)
            for prefix in (path.absolute() if isinstance(path, Path) else path, root.path)
        ]

    def __str__(self) -> str:
        return ", ".join(str(root.path) for root in self.roots)

    def names(self) -> Iterator[str]:
        """Relative names of all images, root after root; a name that an earlier root has is not repeated."""
        seen: set[str] = set()
        for root in self.roots:
            for entry in root.entries():
                if entry.uri is not None and entry.name not in seen:
                    seen.add(entry.name)
                    yield entry.name

    def resolve(self, path: str) -> str | None:
        """Uri of the image at a relative path (or an absolute one, or a URL, inside a root), None where there is none.

        Raises
        ------
        InputError
            If the path or a link on it leaves the root.
        """
        entry = self.find(path)
        return entry.uri if entry else None

    def find(self, path: str) -> Entry | None:
        """Like `resolve`, with the problem of what is there but can't be read."""
        if path.startswith("/") or is_url(path):
            return self._find_absolute(path)
        name = inner_path(path)
        return next((entry for root in self.roots if (entry := root.find(name))), None)

    def _find_absolute(self, path: str) -> Entry | None:
        for prefix, root in self._prefixes:
            if path.startswith(prefix):
                return root.find(inner_path(path.removeprefix(prefix)))
        raise InputError(f"{path}: an absolute path outside the image roots ({self}); add its folder as a root")


def _problem(detail: str) -> str:
    return str(UnreadableImageError(Defect.NOT_A_FILE, detail))
