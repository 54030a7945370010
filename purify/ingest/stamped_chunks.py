"""Images in chunks with the stamps of their files, which tell whose inspections of an earlier ingest still hold."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from purify.arrays import Ids
from purify.ingest.chunk_inspection import CHUNK, FACTS
from purify.storage.image_bytes import ImageByteReader
from purify.storage.text_index import TextIndex

#: Images whose stamps are taken at a time, and per task of a thread.
_STAMPED_ROWS, _TASK_ROWS = 1 << 12, 64
#: Longer than a tick of the kernel's clock (10 ms at most): a file that changes after it was read gets another time.
_TICK_SECONDS = 0.02


class StampedChunk(NamedTuple):
    """Images that follow each other in a listing."""

    #: Null without anything to read.
    uris: Sequence[str | None]
    #: Why there is nothing to read.
    problems: Sequence[str | None]
    #: Null without a readable file.
    stamps: Sequence[str | None]
    #: Row of the known inspection of each, -1 for an image that is to be inspected, int64[n].
    known_rows: Ids

    def fresh(self) -> tuple[Sequence[str | None], Sequence[str | None]]:
        """Uris and problems of the images that are to be inspected."""
        rows = np.flatnonzero(self.known_rows < 0).tolist()
        if len(rows) == len(self.uris):
            return self.uris, self.problems
        return [self.uris[row] for row in rows], [self.problems[row] for row in rows]


class KnownImages:
    """Inspections of an earlier ingest (schema `INSPECTIONS`), one per file."""

    def __init__(self, rows: pa.Table) -> None:
        self.rows = rows
        self._stamps = rows["stamp"].combine_chunks()
        self._index = TextIndex(rows["uri"].combine_chunks())

    def find_unchanged(self, uris: Sequence[str | None], stamps: Sequence[str | None]) -> Ids:
        """Row of each image whose file has not changed, int64[n]; -1 for the others."""
        rows = self._index.find(pa.array(uris, pa.string()))
        if not len(self.rows):
            return rows
        before = self._stamps.take(pa.array(np.maximum(rows, 0)))
        same = pc.fill_null(pc.equal(before, pa.array(stamps, pa.string())), False)
        return np.where(same.to_numpy(zero_copy_only=False), rows, -1)

    def complete(self, chunk: StampedChunk, facts: pa.RecordBatch | None) -> pa.RecordBatch:
        """Facts (schema `CHUNK`) of all images of a chunk, from those of the ones that were inspected now."""
        is_fresh = chunk.known_rows < 0
        if facts is not None and is_fresh.all():
            return facts
        kept = self.rows.take(pa.array(chunk.known_rows[~is_fresh])).select(FACTS.names)
        kept = kept.append_column(CHUNK.field("decoded"), pa.array(np.zeros(len(kept), np.bool_))).cast(CHUNK)
        both = pa.concat_tables([kept, pa.Table.from_batches([facts] if facts is not None else [], CHUNK)])
        order = np.argsort(np.concatenate([np.flatnonzero(~is_fresh), np.flatnonzero(is_fresh)]))
        return both.take(pa.array(order)).combine_chunks().to_batches()[0]


def stamped_chunks(
    uris: Sequence[str | None],
    problems: Sequence[str | None],
    size: int,
    *,
    known: KnownImages,
    reader: ImageByteReader,
    pool: ThreadPoolExecutor,
) -> Iterator[StampedChunk]:
    """Yield the images in chunks of at most `size`, a tick of the clock after their stamps were taken by `pool`."""
    for start in range(0, len(uris), _STAMPED_ROWS):
        places, reasons = (column[start : start + _STAMPED_ROWS] for column in (uris, problems))
        tasks = [places[first : first + _TASK_ROWS] for first in range(0, len(places), _TASK_ROWS)]
        stamps = [stamp for part in pool.map(lambda task: _stamps(reader, task), tasks) for stamp in part]
        rows = known.find_unchanged(places, stamps)
        if (rows < 0).any():
            time.sleep(_TICK_SECONDS)
        for first in range(0, len(places), size):
            part = slice(first, first + size)
            yield StampedChunk(places[part], reasons[part], stamps[part], rows[part])


def _stamps(reader: ImageByteReader, uris: Sequence[str | None]) -> list[str | None]:
    stamps = iter(reader.stamps([uri for uri in uris if uri is not None]))
    return [None if uri is None else next(stamps) for uri in uris]
