"""Inspection of images, each decoded once, and again only after a change of its file.

A file's *stamp* (size, times of its last changes, inode) decides whether its bytes are read again, their hash whether
they are decoded again. A member of a tar has the stamp of its archive: times recorded inside an archive are unreliable.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
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

from purify.config import IngestConfig
from purify.errors import InputError
from purify.images.heif import heif_package
from purify.images.loading import resolve_workers
from purify.ingest.chunk_inspection import CHUNK, FACTS, ChunkInspector, Limits
from purify.ingest.inspection_processes import InspectionProcesses
from purify.ingest.last_uses import LastUses
from purify.ingest.stamped_chunks import KnownImages, StampedChunk, stamped_chunks
from purify.progress import Progress, silent
from purify.storage.files import open_parquet, read_table, write_table
from purify.storage.image_bytes import ImageByteReader
from purify.tables.schema import INSPECTIONS

#: Images per task of a thread, and of a process, whose tasks cost more.
_CHUNK_ROWS, _PROCESS_ROWS = 64, 256
#: Images from which on the start of processes, half a second of computing each, doesn't matter.
LEAST_FOR_PROCESSES = 50_000
#: Images whose tasks are under way at a time: the results of all would fill the memory.
_ROWS_UNDER_WAY = 1 << 14
_BLOCK_ROWS = 1 << 13
#: Metadata key: fingerprint of the settings and versions behind the inspections.
_MADE_WITH = b"purify.inspected_with"
#: All images of a container have one stamp.
_STAMP = pa.field("stamp", pa.dictionary(pa.int32(), pa.string()))
_ROWS = INSPECTIONS.set(INSPECTIONS.get_field_index(_STAMP.name), _STAMP)
#: Inspections, and whether the file was read for each, and decoded.
_BLOCK = pa.schema([*_ROWS, pa.field("read", pa.bool_()), pa.field("decoded", pa.bool_())], _ROWS.metadata)

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Inspections:
    """Facts about the images of a listing, and the numbers of images read and decoded."""

    #: Schema `INSPECTIONS` with a dictionary of stamps, one row per image, in the order of the listing; ``uri`` is
    #: null without anything to read.
    rows: pa.Table
    read: int
    decoded: int

    @classmethod
    def of(cls, blocks: Iterable[pa.Table]) -> Inspections:
        """All blocks of `inspect_blocks`."""
        table = pa.concat_tables([_BLOCK.empty_table(), *blocks]).unify_dictionaries()
        read, decoded = (pc.sum(table[name]).as_py() or 0 for name in ("read", "decoded"))
        return cls(table.select(_ROWS.names), read, decoded)

    def lasting(self) -> pa.Table:
        """The rows to reuse in a later ingest: one per readable file."""
        usable = pc.and_(self.rows["sha256"].is_valid(), self.rows["stamp"].is_valid())
        rows = self.rows.filter(usable)
        uris = rows["uri"].combine_chunks()
        rows = rows.take(pc.index_in(uris.unique(), uris))
        stamps = rows[_STAMP.name].cast(pa.string())
        return rows.set_column(rows.column_names.index(_STAMP.name), _STAMP.name, stamps).cast(INSPECTIONS)


def inspect_blocks(
    uris: Sequence[str | None],
    problems: Sequence[str | None],
    config: IngestConfig,
    *,
    known: pa.Table | None = None,
    progress: Progress = silent,
) -> Generator[pa.Table, None, None]:
    """Read and decode images, except those that are `known` and whose files have not changed; yield facts in blocks.

    `uris` and `problems` are those of a `Listing`, `known` is `Inspections.lasting` of an earlier call with the same
    limits; `progress` counts images. Blocks have the columns of `Inspections.rows`, ``read`` and ``decoded``. A
    container is closed behind its last image.
    """
    before = KnownImages(INSPECTIONS.empty_table() if known is None else known)
    workers = resolve_workers(config.workers)
    many = len(uris) >= LEAST_FOR_PROCESSES and workers > 1 and not len(before.rows)
    size = _PROCESS_ROWS if many else _CHUNK_ROWS
    with (
        ImageByteReader() as reader,
        ThreadPoolExecutor(workers, "stamp") as stampers,
        ThreadPoolExecutor(workers, "ingest") as pool,
        InspectionProcesses(workers, limits := Limits(config.min_size, config.max_pixels)) as processes,
    ):
        inspector = ChunkInspector(reader, limits, before.rows)

        def inspect(chunk: StampedChunk) -> pa.RecordBatch:
            left, reasons = chunk.fresh()
            if not left:
                return before.complete(chunk, None)
            answer = processes.inspect(left, reasons, reader) if many else None
            return before.complete(chunk, inspector.complete(answer, left, reasons))

        uses, block, done = LastUses(uris), _Block(), 0
        chunks = stamped_chunks(uris, problems, size, known=before, reader=reader, pool=stampers)
        with closing(_in_order(pool, inspect, chunks, _ROWS_UNDER_WAY // size)) as parts:
            for chunk, facts in parts:
                block.add(chunk, facts)
                done += len(facts)
                progress(done, len(uris))
                if len(block) >= _BLOCK_ROWS or done == len(uris):
                    for container in uses.over_at(done):
                        reader.release(container)
                    yield block.table()
                    block = _Block()


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


class _Block:
    """Inspections of images that follow each other, kept as they come."""

    def __init__(self) -> None:
        self._chunks: list[StampedChunk] = []
        self._facts: list[pa.RecordBatch] = []

    def add(self, chunk: StampedChunk, facts: pa.RecordBatch) -> None:
        """Take in the facts (schema `CHUNK`) of the next images."""
        self._chunks.append(chunk)
        self._facts.append(facts)

    def __len__(self) -> int:
        return sum(map(len, self._facts))

    def table(self) -> pa.Table:
        """All of them (schema `_BLOCK`)."""
        facts = pa.Table.from_batches(self._facts, CHUNK)
        uris = pa.array([uri for chunk in self._chunks for uri in chunk.uris], pa.string())
        stamps = pa.array([stamp for chunk in self._chunks for stamp in chunk.stamps], pa.string())
        is_fresh = np.concatenate([chunk.known_rows for chunk in self._chunks]) < 0
        read = pc.and_(pa.array(is_fresh), facts["sha256"].is_valid())
        columns = [uris, stamps.dictionary_encode(), *facts.select(FACTS.names).columns, read, facts["decoded"]]
        return pa.table(columns, schema=_BLOCK).combine_chunks()


def _in_order(
    pool: ThreadPoolExecutor, work: Callable[[_Task], _Result], tasks: Iterator[_Task], most: int
) -> Generator[tuple[_Task, _Result], None, None]:
    """Yield `work` on each of `tasks`, in order, at `most` under way; pending ones are canceled if the caller fails."""
    futures: deque[tuple[_Task, Future[_Result]]] = deque()
    try:
        for task in tasks:
            futures.append((task, pool.submit(work, task)))
            if len(futures) >= most:
                first, future = futures.popleft()
                yield first, future.result()
        while futures:
            first, future = futures.popleft()
            yield first, future.result()
    finally:
        for _, future in futures:
            future.cancel()
