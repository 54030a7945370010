"""A local folder as an image root."""

from __future__ import annotations

import os
import stat
from functools import lru_cache
from pathlib import Path

from purify.errors import InputError
from purify.images.defects import describe_os_error
from purify.ingest.faults import Fault
from purify.ingest.leftovers import is_hidden, is_run_folder
from purify.ingest.root_listing import Entry, RootListing, not_a_file
from purify.storage.locations import as_text, file_uri


class FolderRoot:
    """A folder; only links to files inside it are followed."""

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
            return Entry(name, file_uri(path))  # reported on reading
        except OSError:
            return None
        if not inside:
            raise InputError(f"{as_text(name)}: a link that leaves the root {self.path}; put a copy of the file there")
        return Entry(name, file_uri(path)) if stat.S_ISREG(mode) else None

    def listing(self) -> RootListing:
        """See `Root`."""
        listing = RootListing()
        pending = [""]
        while pending:
            folder = pending.pop()
            inner, files = self._list(folder, listing)
            pending.extend(f"{folder}{child.name}/" for child in reversed(inner))
            for child in files:
                self._add(f"{folder}{child.name}", child, listing)
        return listing

    def _list(self, folder: str, listing: RootListing) -> tuple[list[os.DirEntry[str]], list[os.DirEntry[str]]]:
        """Subfolders and files of a folder, by name; none if it is a run's or can't be listed."""
        path = self.path / folder
        try:
            with os.scandir(path) as scan:
                children = sorted(scan, key=lambda child: child.name)
        except OSError as error:
            if not folder:
                raise InputError(f"{path}: can't be read: {error.strerror or error}") from error
            defect = describe_os_error(error).defect
            listing.entries.append(Entry(folder, None, f"{defect}: the folder can't be listed"))
            return [], []
        if folder and is_run_folder({child.name for child in children}):
            listing.run_folders.append(folder.rstrip("/"))
            return [], []
        visible = [child for child in children if not is_hidden(child.name)]
        inner = [child for child in visible if child.is_dir(follow_symlinks=False)]
        return inner, [child for child in visible if not child.is_dir(follow_symlinks=False)]

    def _add(self, name: str, child: os.DirEntry[str], listing: RootListing) -> None:
        if child.is_symlink() and child.is_dir():
            listing.faults.add(Fault.LINKED_FOLDER, as_text(name))
            return
        try:
            entry = self.find(name)
        except InputError:
            listing.faults.add(Fault.LINK_OUTSIDE, as_text(name))
            return
        broken = Entry(name, None, not_a_file("a broken link, device or pipe; only files are read"))
        listing.entries.append(entry or broken)

    def _inside(self, path: Path) -> bool:
        # Path.resolve raises a RuntimeError on a loop of links
        return Path(os.path.realpath(path)).is_relative_to(self.path)
