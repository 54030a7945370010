"""Tables of paths and labels, whose images lie in folders and archives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from purify.config import IngestConfig
from purify.ingest.doors.door import Door
from purify.ingest.image_roots import ImageRoots
from purify.ingest.source_listing import Source
from purify.ingest.table_source import TableSource
from purify.storage.locations import Location
from purify.tables.user_tables import TABLE_READERS, is_table


def _open(source: Location, images: Sequence[Location], config: IngestConfig) -> Source:
    folder = source.resolve().parent if isinstance(source, Path) else source.parent
    return TableSource(source, ImageRoots(images or [folder]), config.columns)


TABLE = Door("table", f"a table of path and label ({', '.join(TABLE_READERS)})", is_table, _open)
