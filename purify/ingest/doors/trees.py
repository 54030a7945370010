"""Folders, tars and zips of ``label/image``, or of images with a ``.json`` each that names the label."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from purify.config import IngestConfig
from purify.ingest.described_source import DescribedSource
from purify.ingest.doors.door import Door
from purify.ingest.image_roots import open_root
from purify.ingest.source_listing import Source
from purify.ingest.tree_source import TreeSource
from purify.storage import remote
from purify.storage.locations import Location
from purify.storage.zip_archive import is_zip


def is_folder(source: Location) -> bool:
    """Whether a source is a folder, here or on a store."""
    return source.is_dir() if isinstance(source, Path) else remote.is_folder(source)


def is_tar(source: Location) -> bool:
    """Whether a file is a tar, plain or compressed, by its suffix."""
    suffixes = Path(source.name.lower()).suffixes
    return ".tar" in suffixes[-2:] or source.name.lower().endswith((".tgz", ".tzst", ".txz", ".tbz2"))


def _is_zip(source: Location) -> bool:
    return is_zip(source) if isinstance(source, Path) else source.suffix.lower() == ".zip"


def _open(source: Location, _images: Sequence[Location], config: IngestConfig) -> Source:
    root = open_root(source)
    if config.label_field is not None:
        return DescribedSource(root, config.label_field)
    return TreeSource(root, config.label_depth)


FOLDER = Door("folder", "a folder of label/image", is_folder, _open)
TAR = Door("tar", "a .tar of label/image (also .tar.gz, .tar.zst)", is_tar, _open)
ZIP = Door("zip", "a .zip of label/image", _is_zip, _open)
