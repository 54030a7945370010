"""Inspection of images, each decoded once, and again only after a change of its file.

A file's *stamp* (size, times of its last changes, inode) decides whether its bytes are read again, their hash whether
they are decoded again. A member of a tar has the stamp of its archive: times recorded inside an archive are unreliable.
"""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import __version__ as pillow_version

from purify.arrays import Ids
from purify.config import IngestConfig
from purify.errors import InputError
from purify.images.decoding import inspect_image
from purify.images.defects import Defect, describe_os_error
from purify.images.heif import heif_package
from purify.images.loading import resolve_workers
from purify.ingest.text_column import TextColumn
from purify.progress import Progress, silent
from purify.storage.files import open_parquet, read_table, write_table
from purify.storage.image_bytes import ImageByteReader
from purify.tables.schema import INSPECTIONS, Status

_CHUNK_ROWS = 64
_CHUNKS_UNDER_WAY = 256
_TABLE_ROWS = 1 << 13
#: Metadata key: fingerprint of the settings and versions behind the inspections.
_MADE_WITH = b"purify.inspected_with"
#: Longer than a tick of the kernel's clock (10 ms at most): a file that changes after it was read gets another time.
_TICK_SECONDS = 0.02
_STATUS = {Defect.TOO_SMALL: Status.TOO_SMALL, Defect.NO_LABEL: Status.NO_LABEL}

#: Columns of an inspection beside the place of the image.
_FACTS = pa.schema([field for field in INSPECTIONS if field.name not in ("uri", "stamp")])
#: All images of a container have one stamp.
_STAMP = pa.field("stamp", pa.dictionary(pa.int32(), pa.string()))
_ROWS = INSPECTIONS.set(INSPECTIONS.get_field_index(_STAMP.name), _STAMP)

_Part = TypeVar("_Part")


@dataclass(frozen=True)
class Inspections:
    """Facts about the images of a listing, and the numbers of images read and decoded."""

    #: Schema `INSPECTIONS` with a dictionary of stamps, one row per image, in the order of the listing; ``uri`` is
    #: null without anything to read.
    rows: pa.Table
    read: int
    decoded: int

    def lasting(self) -> pa.Table:
        """The rows to reuse in a later ingest: one per readable file."""
        usable = pc.and_(self.rows["sha256"].is_valid(), self.rows["stamp"].is_valid())
        rows = self.rows.filter(usable)
        uris = rows["uri"].combine_chunks()
        return _with_stamps(rows.take(pc.index_in(uris.unique(), uris)), INSPECTIONS)


def inspect_images(
    uris: Sequence[str | None],
    problems: Sequence[str | None],
    config: IngestConfig,
    *,
    known: pa.Table | None = None,
    progress: Progress = silent,
) -> Inspections:
    """Read and decode images, except those that are `known` and whose files have not changed.

    `uris` and `problems` are those of a `Listing`, `known` is `Inspections.lasting` of an earlier call with the same
    limits; `progress` counts images.
    """
    known = INSPECTIONS.empty_table() if known is None else known
    with ImageByteReader() as reader, ThreadPoolExecutor(resolve_workers(config.workers), "ingest") as pool:
        places = pa.table({"uri": pa.array(uris, pa.string()), _STAMP.name: _stamps(reader, pool, uris)})
        known_row = _unchanged(places, known)
        fresh = np.flatnonzero(known_row.is_null().to_numpy(zero_copy_only=False))
        inspector = _Inspector(reader, config, known if len(fresh) else INSPECTIONS.empty_table())
        if len(fresh):
            time.sleep(_TICK_SECONDS)

        def inspect(chunk: Ids) -> list[_Inspection]:
            return [inspector.inspect(uris[row], problems[row]) for row in chunk.tolist()]

        gathered = _Gathered()
        for part in _in_chunks(pool, inspect, fresh):
            gathered.add(part)
            progress(len(uris) - len(fresh) + gathered.count, len(uris))
    progress(len(uris), len(uris))
    new = gathered.table(places if len(fresh) == len(places) else places.take(pa.array(fresh)))
    read = len(new) - new["sha256"].null_count
    if len(fresh) < len(places):
        rows = np.concatenate([np.flatnonzero(known_row.is_valid().to_numpy(zero_copy_only=False)), fresh])
        kept = _with_stamps(known.take(known_row.drop_null()), _ROWS)
        new = pa.concat_tables([kept, new]).take(pa.array(np.argsort(rows)))
    return Inspections(new, read=read, decoded=gathered.decoded)


def inspection_settings(config: IngestConfig) -> dict[str, Any]:
    """Settings and versions that affect an inspection, besides the bytes and our own code."""
    limits = {"min_size": config.min_size, "max_pixels": config.max_pixels, "pillow": pillow_version}
    return limits | ({"heif": version(package)} if (package := heif_package()) else {})


def load_inspections(path: Path, made_with: str) -> pa.Table:
    """Load the inspections saved with the same `made_with` (see `inspection_settings`); empty if there are none."""
    if not path.exists():
        return INSPECTIONS.empty_table()
    try:
        with open_parquet(path) as file:
            saved_with = (file.schema_arrow.metadata or {}).get(_MADE_WITH)
        return read_table(path, INSPECTIONS) if saved_with == made_with.encode() else INSPECTIONS.empty_table()
    except InputError:  # damaged: only time is lost
        return INSPECTIONS.empty_table()


def save_inspections(path: Path, inspections: pa.Table, made_with: str) -> None:
    """Write `inspections` (schema `INSPECTIONS`) for `load_inspections`."""
    metadata = {**(inspections.schema.metadata or {}), _MADE_WITH: made_with.encode()}
    write_table(inspections.replace_schema_metadata(metadata), path)


def _stamps(reader: ImageByteReader, pool: ThreadPoolExecutor, uris: Sequence[str | None]) -> pa.ChunkedArray:
    def stamp(rows: Ids) -> list[str | None]:
        chunk = uris[rows[0] : rows[-1] + 1]
        return [None if uri is None else reader.stamp(uri) for uri in chunk]

    stamps = TextColumn(one for part in _in_chunks(pool, stamp, np.arange(len(uris))) for one in part)
    return stamps.chunked().dictionary_encode()


def _with_stamps(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Inspections with their stamps as `schema` has them: as text, or in a dictionary."""
    stamps = rows[_STAMP.name].cast(pa.string())
    column = stamps.dictionary_encode() if schema.field(_STAMP.name) == _STAMP else stamps
    return rows.set_column(rows.column_names.index(_STAMP.name), _STAMP.name, column).cast(schema)


def _unchanged(places: pa.Table, known: pa.Table) -> pa.ChunkedArray:
    """Row of `known` for each image with an unchanged file; null for the others."""
    row = pc.index_in(places["uri"], known["uri"].combine_chunks(), skip_nulls=True)
    if not len(known):
        return row
    before = known["stamp"].combine_chunks().take(row)
    same = pc.fill_null(pc.equal(before, places["stamp"].cast(pa.string())), False)
    return pc.if_else(same, row, pa.scalar(None, pa.int32()))


class _Inspection(NamedTuple):
    """Facts of one image, as in the manifest."""

    width: int | None
    height: int | None
    status: str
    status_reason: str | None
    sha256: str | None = None
    decoded: bool = False


class _Inspector:
    """Inspects images in any number of threads; known bytes are not decoded again."""

    def __init__(self, reader: ImageByteReader, config: IngestConfig, known: pa.Table) -> None:
        self._reader = reader
        self._config = config
        self._known = {
            row["sha256"]: (row["width"], row["height"], row["status"], row["status_reason"])
            for batch in known.to_batches()
            for row in batch.to_pylist()
        }

    def inspect(self, uri: str | None, problem: str | None) -> _Inspection:
        if uri is None:
            problem = problem or Defect.MISSING
            return _Inspection(None, None, _status(Defect(problem.partition(":")[0])), problem)
        try:
            data = self._reader.read(uri)
        except OSError as error:
            refusal = describe_os_error(error)
            return _Inspection(None, None, _status(refusal.defect), str(refusal))
        digest = hashlib.sha256(data).hexdigest()
        if (facts := self._known.get(digest)) is not None:
            return _Inspection(*facts, digest)
        found = inspect_image(data, min_size=self._config.min_size, max_pixels=self._config.max_pixels)
        return _Inspection(found.width, found.height, _status(found.defect), found.reason, digest, decoded=True)


def _status(defect: Defect | None) -> str:
    return Status.OK.value if defect is None else _STATUS.get(defect, Status.UNREADABLE).value


class _Gathered:
    """Inspections of images in order, kept as a table: a row takes a fraction of the memory of an object."""

    def __init__(self) -> None:
        self._tables: list[pa.Table] = [_FACTS.empty_table()]
        self._latest: list[_Inspection] = []
        self.count = 0
        self.decoded = 0

    def add(self, inspections: Sequence[_Inspection]) -> None:
        """Take in the inspections of the next images."""
        self._latest.extend(inspections)
        self.count += len(inspections)
        self.decoded += sum(inspection.decoded for inspection in inspections)
        if len(self._latest) >= _TABLE_ROWS:
            self._flush()

    def table(self, places: pa.Table) -> pa.Table:
        """All of them (schema `_ROWS`), with their `places` (uri and stamp)."""
        self._flush()
        facts = pa.concat_tables(self._tables)
        return pa.table([*places.columns, *facts.columns], schema=_ROWS)

    def _flush(self) -> None:
        facts = dict(zip(_Inspection._fields, zip(*self._latest, strict=True), strict=bool(self._latest)))
        self._tables.append(pa.table({name: facts.get(name, ()) for name in _FACTS.names}, schema=_FACTS))
        self._latest.clear()


def _in_chunks(pool: ThreadPoolExecutor, work: Callable[[Ids], _Part], rows: Ids) -> Iterable[_Part]:
    """`work` on each chunk of `rows`, in order; pending chunks are canceled if the caller fails.

    Few chunks are under way at a time: the results of all would fill the memory.
    """
    futures: deque[Future[_Part]] = deque()
    try:
        for start in range(0, len(rows), _CHUNK_ROWS):
            futures.append(pool.submit(work, rows[start : start + _CHUNK_ROWS]))
            if len(futures) >= _CHUNKS_UNDER_WAY:
                yield futures.popleft().result()
        while futures:
            yield futures.popleft().result()
    finally:
        for future in futures:
            future.cancel()
