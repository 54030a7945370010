"""Sources: what holds the images of a set, recognized by its doors; local or on a store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from purify.config import IngestConfig
from purify.ingest.doors.door_registry import find_door
from purify.ingest.source_listing import Source
from purify.storage.files import readable
from purify.storage.locations import Location


def open_source(source: Location, images: Sequence[Location], config: IngestConfig) -> Source:
    """The source at a path or URL; `images` are the roots of a table (none: the table's folder).

    InputError if it is missing or of an unknown kind, or a root can't be read.
    """
    if isinstance(source, Path):
        with readable(source):
            source.stat()
    return find_door(source, config.format).open(source, images, config)
