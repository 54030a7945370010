"""What reading an image's bytes says of it, and not reading them again while the file has not changed.

A file's *stamp* (size and time of its last change) decides whether its bytes are read again, their hash whether they
are decoded again. A member of a tar has the stamp of its archive: the times that an archive gives its members say
nothing.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import __version__ as pillow_version

from purify.config import IngestConfig
from purify.errors import InputError
from purify.images.decoding import ImageFacts, inspect_image
from purify.images.defects import Defect, describe_os_error
from purify.images.loading import resolve_workers
from purify.progress import Progress, silent
from purify.storage.files import open_parquet, read_table, write_table
from purify.storage.image_bytes import BlobReader
from purify.tables.schema import READINGS, Status

_CHUNK_ROWS = 64
#: Metadata key: what but the bytes decides a reading.
_MADE_WITH = b"purify.inspected_with"
#: Longer than a tick of the kernel's clock (10 ms at most): a file that changes after it was read has another time.
_TICK_SECONDS = 0.02

_Part = TypeVar("_Part")


@dataclass(frozen=True)
class Readings:
    """What is known of the images of a listing.

    Attributes
    ----------
    rows
        Schema `READINGS`, one row for each of the listing, in its order; ``uri`` is null where there is nothing to
        read.
    read, decoded
        How many images had their bytes read, and how many of these were decoded.
    """

    rows: pa.Table
    read: int
    decoded: int

    def lasting(self) -> pa.Table:
        """The rows that a later ingest may use again: one of each file whose bytes could be read."""
        usable = pc.and_(self.rows["sha256"].is_valid(), self.rows["stamp"].is_valid())
        rows = self.rows.filter(usable)
        uris = rows["uri"].combine_chunks()
        return rows.take(pc.index_in(uris.unique(), uris))


def read_images(
    uris: Sequence[str | None],
    problems: Sequence[str | None],
    config: IngestConfig,
    *,
    known: pa.Table | None = None,
    progress: Progress = silent,
) -> Readings:
    """Read and decode images, but for those that are `known` and whose files have not changed.

    Parameters
    ----------
    uris
        None where there is nothing to read.
    problems
        Why; it becomes the reason.
    config
        Limits and the number of threads.
    known
        `Readings.lasting` of an earlier call with the same limits.
    progress
        Told the number of images.
    """
    known = READINGS.empty_table() if known is None else known
    with BlobReader() as reader, ThreadPoolExecutor(resolve_workers(config.workers), "ingest") as pool:
        stamps = _stamps(reader, pool, uris)
        place = _unchanged(uris, stamps, known)
        fresh = np.flatnonzero(place.is_null().to_numpy(zero_copy_only=False)).tolist()
        inspector = _Inspector(reader, config, known if fresh else READINGS.empty_table())
        if len(fresh):
            time.sleep(_TICK_SECONDS)

        def inspect(chunk: Sequence[int]) -> list[_Reading]:
            return [inspector.inspect(uris[row], problems[row]) for row in chunk]

        readings: list[_Reading] = []
        for part in _in_chunks(pool, inspect, fresh):
            readings.extend(part)
            progress(len(uris) - len(fresh) + len(readings), len(uris))
    progress(len(uris), len(uris))
    new = _table(readings, [uris[row] for row in fresh], [stamps[row] for row in fresh])
    rows = np.concatenate([np.flatnonzero(place.is_valid().to_numpy(zero_copy_only=False)), fresh])
    together = pa.concat_tables([known.take(place.drop_null()), new]).take(pa.array(np.argsort(rows)))
    return Readings(
        together,
        read=sum(reading.sha256 is not None for reading in readings),
        decoded=sum(reading.decoded for reading in readings),
    )


def load_readings(path: Path, config: IngestConfig) -> pa.Table:
    """Readings that were saved with the same limits and decoder; none where there are no such."""
    if not path.exists():
        return READINGS.empty_table()
    try:
        with open_parquet(path) as file:
            made_with = (file.schema_arrow.metadata or {}).get(_MADE_WITH)
        return read_table(path, READINGS) if made_with == _settings(config) else READINGS.empty_table()
    except InputError:  # damaged: it only saves time
        return READINGS.empty_table()


def save_readings(path: Path, readings: pa.Table, config: IngestConfig) -> None:
    """Write `readings` (schema `READINGS`) for `load_readings`."""
    metadata = {**(readings.schema.metadata or {}), _MADE_WITH: _settings(config)}
    write_table(readings.replace_schema_metadata(metadata), path)


def _settings(config: IngestConfig) -> bytes:
    limits = {"min_size": config.min_size, "max_pixels": config.max_pixels}
    return json.dumps({**limits, "version": 1, "pillow": pillow_version}, sort_keys=True).encode()


def _stamps(reader: BlobReader, pool: ThreadPoolExecutor, uris: Sequence[str | None]) -> list[str | None]:
    def stamp(chunk: Sequence[str | None]) -> list[str | None]:
        return [None if uri is None else reader.stamp(uri) for uri in chunk]

    return [one for part in _in_chunks(pool, stamp, uris) for one in part]


def _unchanged(uris: Sequence[str | None], stamps: Sequence[str | None], known: pa.Table) -> pa.Array:
    """Row of `known` for each image whose file is as it was; null for the others."""
    place = pc.index_in(pa.array(uris, pa.string()), known["uri"].combine_chunks(), skip_nulls=True)
    before = known["stamp"].combine_chunks().take(place)
    same = pc.fill_null(pc.equal(before, pa.array(stamps, pa.string())), False)
    return pc.if_else(same, place, pa.scalar(None, pa.int32()))


@dataclass(frozen=True)
class _Reading:
    facts: ImageFacts
    sha256: str | None = None
    decoded: bool = False


class _Inspector:
    """Says what images are, in any number of threads; bytes that are known are not decoded."""

    def __init__(self, reader: BlobReader, config: IngestConfig, known: pa.Table) -> None:
        self._reader = reader
        self._config = config
        self._known = {
            row["sha256"]: ImageFacts(row["width"], row["height"], Status(row["status"]), row["status_reason"])
            for batch in known.to_batches()
            for row in batch.to_pylist()
        }

    def inspect(self, uri: str | None, problem: str | None) -> _Reading:
        if uri is None:
            return _Reading(_unreadable(problem or Defect.MISSING))
        try:
            data = self._reader.read(uri)
        except OSError as error:
            return _Reading(_unreadable(str(describe_os_error(error))))
        digest = hashlib.sha256(data).hexdigest()
        if (facts := self._known.get(digest)) is not None:
            return _Reading(facts, digest)
        facts = inspect_image(data, min_size=self._config.min_size, max_pixels=self._config.max_pixels)
        return _Reading(facts, digest, decoded=True)


def _unreadable(reason: str) -> ImageFacts:
    return ImageFacts(None, None, Status.UNREADABLE, reason)


def _table(readings: Sequence[_Reading], uris: Sequence[str | None], stamps: Sequence[str | None]) -> pa.Table:
    columns = {
        "uri": uris,
        "stamp": stamps,
        "width": [reading.facts.width for reading in readings],
        "height": [reading.facts.height for reading in readings],
        "sha256": [reading.sha256 for reading in readings],
        "status": [reading.facts.status.value for reading in readings],
        "status_reason": [reading.facts.reason for reading in readings],
    }
    return pa.table(columns, schema=READINGS)


def _in_chunks(pool: ThreadPoolExecutor, work: Callable[[Sequence], _Part], items: Sequence) -> Iterable[_Part]:
    """`work` of each chunk of `items`, in order; what has not begun is given up when the caller fails."""
    futures = [pool.submit(work, items[start : start + _CHUNK_ROWS]) for start in range(0, len(items), _CHUNK_ROWS)]
    try:
        for future in futures:
            yield future.result()
    finally:
        for future in futures:
            future.cancel()
