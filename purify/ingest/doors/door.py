"""The interface of a door: how a kind of source is recognized and opened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from purify.config import IngestConfig
from purify.ingest.source_listing import Source
from purify.storage.locations import Location


@dataclass(frozen=True)
class Door:
    """A kind of source.

    Attributes
    ----------
    name
        The value of ``--format``.
    title
        What it reads, for messages and the documentation, such as ``RecordIO (train.rec)``.
    matches
        Whether a source is of this kind, by names and first bytes; cheap, and False rather than an error for a source
        that it doesn't know.
    open
        Opens the source; takes its location, the image roots (of a table) and the configuration. InputError if the
        source can't be used.
    """

    name: str
    title: str
    matches: Callable[[Location], bool]
    open: Callable[[Location, Sequence[Location], IngestConfig], Source]
