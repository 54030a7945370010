"""Folders and uncompressed tars of ``label/image``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from purify.config import IngestConfig
from purify.ingest.doors.door import Door
from purify.ingest.image_roots import open_root
from purify.ingest.source_listing import Source
from purify.ingest.tree_source import TreeSource
from purify.storage import remote
from purify.storage.locations import Location


def is_folder(source: Location) -> bool:
    """Whether a source is a folder, here or on a store."""
    return source.is_dir() if isinstance(source, Path) else remote.is_folder(source)


def is_tar(source: Location) -> bool:
    """Whether a file is a tar, by its suffix; also a compressed one, whose error on opening names the remedy."""
    suffixes = Path(source.name.lower()).suffixes
    return ".tar" in suffixes[-2:] or suffixes[-1:] == [".tgz"]


def _open(source: Location, _images: Sequence[Location], config: IngestConfig) -> Source:
    return TreeSource(open_root(source), config.label_depth)


FOLDER = Door("folder", "a folder of label/image", is_folder, _open)
TAR = Door("tar", "an uncompressed .tar of label/image", is_tar, _open)
