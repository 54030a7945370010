"""Sources: what holds the images of a set, recognized by its doors, or several of them merged; local or on a store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from purify.config import IngestConfig
from purify.errors import InputError
from purify.ingest.doors.door_registry import find_door
from purify.ingest.doors.webdataset import shards_of_one_set
from purify.ingest.merged_source import MergedSource, prefixes
from purify.ingest.source_listing import Source
from purify.storage.brace_patterns import is_brace_pattern
from purify.storage.files import readable
from purify.storage.locations import Location, to_location


def open_source(source: Location, images: Sequence[Location], config: IngestConfig) -> Source:
    """The source at a path or URL, merged with those of ``config.more``.

    `images` are the roots of a table (none: the table's folder). InputError if a source is missing or of an unknown
    kind, or a root can't be read.
    """
    if not config.more:
        return _open(source, images, config)
    places = [source, *map(to_location, config.more)]
    if one_set := shards_of_one_set(places, config):
        return one_set
    opened, faults = [], []
    for place in places:
        try:
            opened.append(_open(place, images, config))
        except InputError as error:
            faults.append(str(error))
    if faults:
        raise InputError("\n  ".join(faults))
    return MergedSource(dict(zip(prefixes(places), opened, strict=True)), same_labels=config.same_labels)


def _open(source: Location, images: Sequence[Location], config: IngestConfig) -> Source:
    if isinstance(source, Path) and (source.exists() or not is_brace_pattern(source.name)):
        with readable(source):
            source.stat()
    return find_door(source, config.format).open(source, images, config)
