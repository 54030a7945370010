"""Inspection of images, each decoded once, and again only after a change of its file.

A file's *stamp* (size, times of its last changes, inode) decides whether its bytes are read again, their hash whether
they are decoded again. A member of a tar has the stamp of its archive: times recorded inside an archive are unreliable.
"""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
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
from purify.images.decoding import inspect_image
from purify.images.defects import Defect, describe_os_error
from purify.images.heif import heif_package
from purify.images.loading import resolve_workers
from purify.progress import Progress, silent
from purify.storage.files import open_parquet, read_table, write_table
from purify.storage.image_bytes import ImageByteReader
from purify.tables.schema import INSPECTIONS, Status

_CHUNK_ROWS = 64
_TABLE_ROWS = 1 << 13
#: Metadata key: fingerprint of the settings and versions behind the inspections.
_MADE_WITH = b"purify.inspected_with"
#: Longer than a tick of the kernel's clock (10 ms at most): a file that changes after it was read gets another time.
_TICK_SECONDS = 0.02
_STATUS = {Defect.TOO_SMALL: Status.TOO_SMALL, Defect.NO_LABEL: Status.NO_LABEL}

_Part = TypeVar("_Part")


@dataclass(frozen=True)
class Inspections:
    """Facts about the images of a listing, and the numbers of images read and decoded."""

    #: Schema `INSPECTIONS`, one row per image, in the order of the listing; ``uri`` is null without anything to read.
    rows: pa.Table
    read: int
    decoded: int

    def lasting(self) -> pa.Table:
        """The rows to reuse in a later ingest: one per readable file."""
        usable = pc.and_(self.rows["sha256"].is_valid(), self.rows["stamp"].is_valid())
        rows = self.rows.filter(usable)
        uris = rows["uri"].combine_chunks()
        return rows.take(pc.index_in(uris.unique(), uris))


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
        stamps = _stamps(reader, pool, uris)
        place = _unchanged(uris, stamps, known)
        fresh = np.flatnonzero(place.is_null().to_numpy(zero_copy_only=False)).tolist()
        inspector = _Inspector(reader, config, known if fresh else INSPECTIONS.empty_table())
        if len(fresh):
            time.sleep(_TICK_SECONDS)

        def inspect(chunk: Sequence[int]) -> list[_Inspection]:
            return [inspector.inspect(uris[row], problems[row]) for row in chunk]

        gathered = _Gathered([uris[row] for row in fresh], [stamps[row] for row in fresh])
        for part in _in_chunks(pool, inspect, fresh):
            gathered.add(part)
            progress(len(uris) - len(fresh) + gathered.count, len(uris))
    progress(len(uris), len(uris))
    new = gathered.table()
    rows = np.concatenate([np.flatnonzero(place.is_valid().to_numpy(zero_copy_only=False)), fresh])
    together = pa.concat_tables([known.take(place.drop_null()), new]).take(pa.array(np.argsort(rows)))
    return Inspections(together, read=len(new) - new["sha256"].null_count, decoded=gathered.decoded)


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


def _stamps(reader: ImageByteReader, pool: ThreadPoolExecutor, uris: Sequence[str | None]) -> list[str | None]:
    def stamp(chunk: Sequence[str | None]) -> list[str | None]:
        return [None if uri is None else reader.stamp(uri) for uri in chunk]

    return [one for part in _in_chunks(pool, stamp, uris) for one in part]


def _unchanged(uris: Sequence[str | None], stamps: Sequence[str | None], known: pa.Table) -> pa.Array:
    """Row of `known` for each image with an unchanged file; null for the others."""
    place = pc.index_in(pa.array(uris, pa.string()), known["uri"].combine_chunks(), skip_nulls=True)
    before = known["stamp"].combine_chunks().take(place)
    same = pc.fill_null(pc.equal(before, pa.array(stamps, pa.string())), False)
    return pc.if_else(same, place, pa.scalar(None, pa.int32()))


@dataclass(frozen=True)
class _Inspection:
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

    def __init__(self, uris: Sequence[str | None], stamps: Sequence[str | None]) -> None:
        self._uris, self._stamps = uris, stamps
        self._tables: list[pa.Table] = [INSPECTIONS.empty_table()]
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

    def table(self) -> pa.Table:
        """All of them (schema `INSPECTIONS`)."""
        self._flush()
        return pa.concat_tables(self._tables)

    def _flush(self) -> None:
        rows = slice(self.count - len(self._latest), self.count)
        facts = {name: [getattr(one, name) for one in self._latest] for name in INSPECTIONS.names[2:]}
        places = {"uri": self._uris[rows], "stamp": self._stamps[rows]}
        self._tables.append(pa.table({**places, **facts}, schema=INSPECTIONS))
        self._latest.clear()


def _in_chunks(pool: ThreadPoolExecutor, work: Callable[[Sequence], _Part], items: Sequence) -> Iterable[_Part]:
    """`work` on each chunk of `items`, in order; pending chunks are canceled if the caller fails."""
    starts = range(0, len(items), _CHUNK_ROWS)
    futures = deque(pool.submit(work, items[start : start + _CHUNK_ROWS]) for start in starts)
    try:
        while futures:
            yield futures.popleft().result()  # not kept: the results of all chunks would fill the memory
    finally:
        for future in futures:
            future.cancel()
