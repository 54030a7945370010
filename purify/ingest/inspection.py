"""Inspection of images, each decoded once, and again only after a change of its file.

A file's *stamp* (size, times of its last changes, inode) decides whether its bytes are read again, their hash whether
they are decoded again. A member of a tar has the stamp of its archive: times recorded inside an archive are unreliable.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import __version__ as pillow_version

from purify.arrays import Ids
from purify.config import IngestConfig
from purify.errors import InputError
from purify.images.heif import heif_package
from purify.images.loading import resolve_workers
from purify.ingest.chunk_inspection import CHUNK, FACTS, ChunkInspector, Limits
from purify.ingest.inspection_processes import InspectionProcesses
from purify.progress import Progress, silent
from purify.storage.files import open_parquet, read_table, write_table
from purify.storage.image_bytes import ImageByteReader
from purify.tables.schema import INSPECTIONS

#: Images per task of a thread, and of a process, whose tasks cost more.
_CHUNK_ROWS, _PROCESS_ROWS = 64, 256
#: New images from which on the start of processes, half a second of computing each, doesn't matter.
LEAST_FOR_PROCESSES = 50_000
_CHUNKS_UNDER_WAY = 256
_TABLE_ROWS = 1 << 13
#: Metadata key: fingerprint of the settings and versions behind the inspections.
_MADE_WITH = b"purify.inspected_with"
#: Longer than a tick of the kernel's clock (10 ms at most): a file that changes after it was read gets another time.
_TICK_SECONDS = 0.02
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
    workers = resolve_workers(config.workers)
    with (
        ImageByteReader() as reader,
        ThreadPoolExecutor(workers, "ingest") as pool,
        InspectionProcesses(workers, limits := Limits(config.min_size, config.max_pixels)) as processes,
    ):
        places = pa.table({"uri": pa.array(uris, pa.string()), _STAMP.name: _stamps(reader, pool, uris)})
        known_row = _unchanged(places, known)
        fresh = np.flatnonzero(known_row.is_null().to_numpy(zero_copy_only=False))
        inspector = ChunkInspector(reader, limits, known if len(fresh) else INSPECTIONS.empty_table())
        many = len(fresh) >= LEAST_FOR_PROCESSES and workers > 1 and not len(known)
        if len(fresh):
            time.sleep(_TICK_SECONDS)

        def inspect(rows: Ids) -> pa.RecordBatch:
            wanted, reasons = _values(uris, rows), _values(problems, rows)
            answer = processes.inspect(wanted, reasons, reader) if many else None
            return inspector.complete(answer, wanted, reasons)

        gathered = _Gathered()
        with closing(_in_chunks(pool, inspect, fresh, _PROCESS_ROWS if many else _CHUNK_ROWS)) as parts:
            for part in parts:
                gathered.add(part)
                progress(len(uris) - len(fresh) + gathered.count, len(uris))
    if not len(fresh):
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
        chunk = _values(uris, rows)
        stamps = iter(reader.stamps([uri for uri in chunk if uri is not None]))
        return [None if uri is None else next(stamps) for uri in chunk]

    parts, latest = [pa.array([], _STAMP.type)], list[str | None]()
    for part in _in_chunks(pool, stamp, np.arange(len(uris)), _CHUNK_ROWS):
        latest += part
        if len(latest) >= _TABLE_ROWS:
            parts.append(pa.array(latest, pa.string()).dictionary_encode())
            latest.clear()
    return pa.chunked_array([*parts, pa.array(latest, pa.string()).dictionary_encode()]).unify_dictionaries()


def _values(column: Sequence[str | None], rows: Ids) -> Sequence[str | None]:
    """The values of rows, at less cost where these follow each other."""
    first, last = int(rows[0]), int(rows[-1])
    return column[first : last + 1] if last - first + 1 == len(rows) else [column[row] for row in rows.tolist()]


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


class _Gathered:
    """Inspections of images in order, kept as a table: a row takes a fraction of the memory of an object."""

    def __init__(self) -> None:
        self._tables: list[pa.Table] = [FACTS.empty_table()]
        self._latest: list[pa.RecordBatch] = []
        self.count = 0
        self.decoded = 0

    def add(self, chunk: pa.RecordBatch) -> None:
        """Take in the inspections (schema `CHUNK`) of the next images."""
        self._latest.append(chunk)
        self.count += len(chunk)
        self.decoded += chunk.column("decoded").true_count
        if sum(map(len, self._latest)) >= _TABLE_ROWS:
            self._flush()

    def table(self, places: pa.Table) -> pa.Table:
        """All of them (schema `_ROWS`), with their `places` (uri and stamp)."""
        self._flush()
        facts = pa.concat_tables(self._tables)
        return pa.table([*places.columns, *facts.columns], schema=_ROWS)

    def _flush(self) -> None:
        latest = pa.Table.from_batches(self._latest, CHUNK).select(FACTS.names).cast(FACTS)
        self._tables.append(latest.combine_chunks())
        self._latest.clear()


def _in_chunks(
    pool: ThreadPoolExecutor, work: Callable[[Ids], _Part], rows: Ids, size: int
) -> Generator[_Part, None, None]:
    """Yield `work` on each chunk of `rows`, in order; pending chunks are canceled if the caller fails.

    Few chunks are under way at a time: the results of all would fill the memory.
    """
    futures: deque[Future[_Part]] = deque()
    try:
        for start in range(0, len(rows), size):
            futures.append(pool.submit(work, rows[start : start + size]))
            if len(futures) >= _CHUNKS_UNDER_WAY:
                yield futures.popleft().result()
        while futures:
            yield futures.popleft().result()
    finally:
        for future in futures:
            future.cancel()
