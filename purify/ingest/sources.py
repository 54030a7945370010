"""Sources: a folder of images, a tar of one, or a table of paths with image roots; local or on a store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from purify.config import IngestConfig
from purify.errors import InputError
from purify.ingest.image_roots import ImageRoots, open_root
from purify.ingest.source_listing import Source
from purify.ingest.table_source import TableSource
from purify.ingest.tree_source import TreeSource
from purify.storage import remote
from purify.storage.files import readable
from purify.storage.locations import Location
from purify.tables.user_tables import TABLE_READERS, is_table


def open_source(source: Location, images: Sequence[Location], config: IngestConfig) -> Source:
    """The source at a path or URL; `images` are the roots of a table (none: the table's folder).

    InputError if it is missing or of an unknown kind, or a root can't be read.
    """
    if isinstance(source, Path):
        with readable(source):
            source.stat()
    for matches, make in _KINDS.items():
        if matches(source):
            return make(source, images, config)
    raise InputError(
        f"{source}: unknown kind of source; expected a folder of label/image, an uncompressed .tar of one, "
        f"or a table ({', '.join(TABLE_READERS)})"
    )


def _tree(source: Location, _images: Sequence[Location], config: IngestConfig) -> Source:
    return TreeSource(open_root(source), config.label_depth)


def _table(source: Location, images: Sequence[Location], _config: IngestConfig) -> Source:
    folder = source.resolve().parent if isinstance(source, Path) else source.parent
    return TableSource(source, ImageRoots(images or [folder]))


def _is_folder(source: Location) -> bool:
    return source.is_dir() if isinstance(source, Path) else remote.is_folder(source)


def _is_archive(source: Location) -> bool:
    """Whether a file is a tar, by its suffix; also a compressed one, whose error on opening names the remedy."""
    suffixes = Path(source.name.lower()).suffixes
    return ".tar" in suffixes[-2:] or suffixes[-1:] == [".tgz"]


#: Test of a location -> constructor of its source.
_KINDS: Mapping[Callable[[Location], bool], Callable[[Location, Sequence[Location], IngestConfig], Source]] = {
    _is_folder: _tree,
    is_table: _table,
    _is_archive: _tree,
}
