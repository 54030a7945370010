"""Doors by name: built-in ones, and those of installed packages, by entry points ``purify.doors``."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points

from purify.config import DOOR_ENTRY_POINTS
from purify.errors import InputError, did_you_mean
from purify.ingest.doors.base64_text import BASE64_TEXT
from purify.ingest.doors.databases import LMDB
from purify.ingest.doors.door import Door
from purify.ingest.doors.image_tables import IMAGE_PARQUET, SAVED_DATASET
from purify.ingest.doors.records import RECORDS
from purify.ingest.doors.tables import TABLE
from purify.ingest.doors.trees import FOLDER, TAR, ZIP
from purify.ingest.doors.webdataset import WEBDATASET
from purify.storage.locations import Location

#: In the order of trial: particular forms before the folder, tar or table that they also are.
DOORS: tuple[Door, ...] = (
    RECORDS,
    LMDB,
    SAVED_DATASET,
    IMAGE_PARQUET,
    BASE64_TEXT,
    WEBDATASET,
    FOLDER,
    TABLE,
    ZIP,
    TAR,
)

_SPREADSHEETS = frozenset({".xlsx", ".xlsm", ".xls", ".ods", ".numbers"})


def find_door(source: Location, name: str | None) -> Door:
    """The door called `name`, or else the first that knows `source`; those of installed packages are asked first.

    InputError if there is none.
    """
    doors = [*_installed(), *DOORS]
    if name is not None:
        if chosen := next((door for door in doors if door.name == name), None):
            return chosen
        names = [door.name for door in doors]
        raise InputError(f"--format {name}: there are {', '.join(names)}{did_you_mean(name, names)}")
    if source.suffix.lower() in _SPREADSHEETS:
        raise InputError(f"{source}: a spreadsheet; save it as 'CSV UTF-8', with the columns path and label")
    for door in doors:
        if door.matches(source):
            return door
    kinds = "; ".join(door.title for door in doors)
    raise InputError(f"{source}: unknown kind of source; expected one of these: {kinds} (or choose with --format)")


def _installed() -> Iterator[Door]:
    for entry in sorted(entry_points(group=DOOR_ENTRY_POINTS), key=lambda entry: entry.name):
        try:
            door = entry.load()
        except Exception as error:
            raise InputError(f"door {entry.name}: can't load {entry.value}: {type(error).__name__}: {error}") from error
        if not isinstance(door, Door):
            raise InputError(f"door {entry.name}: {entry.value} is no purify.ingest.doors.door.Door")
        yield door
