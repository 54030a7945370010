"""Parquet files with images inside as containers: their column of images, read by row.

Row groups may be of any size, so they are streamed: rows that follow each other cost one pass. The rows read last
are kept, within one budget for all files. Rows wanted again, as training does in every epoch, are unpacked to a file
in the cache folder, a row group at a time, and read from there by position.
"""

from __future__ import annotations

import errno
import os
import tempfile
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from threading import RLock
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from purify.arrays import Ids
from purify.errors import InputError, PurifyError
from purify.storage import remote
from purify.storage.files import one_line, readable
from purify.storage.parquet_pages import parquet_file
from purify.storage.positioned import read_at

_BATCH_ROWS = 128
#: Most bytes of the rows kept in memory, of all files together.
_MOST_KEPT = 1 << 26
_NO_IMAGE = -1


def row_key(column: str, row: int) -> str:
    """Key of the image in a `column` of a table, in a `row` from 0."""
    return f"{column}/{row}"


def split_row_key(path: Path, key: str) -> tuple[str, int]:
    """Column and row of a key; InputError if it has another form."""
    column, _, row = key.rpartition("/")
    if not column or not row.isdecimal():
        raise InputError(f"{path}: no image {key!r}; ingest the source again")
    return column, int(row)


def image_values(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Bytes of a column of images: itself, or the field ``bytes`` of a struct."""
    return pc.struct_field(column, "bytes") if pa.types.is_struct(column.type) else column


class ParquetImages:
    """A Parquet file; see `purify.storage.containers.Container` and `row_key`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with readable(path):
            self._stream = pa.OSFile(os.fspath(path), "rb")
        try:
            self._file = parquet_file(self._stream)
            names = self._file.schema_arrow.names
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise InputError(f"{path}: not a Parquet file, or a damaged one: {one_line(error)}") from error
        counts = [self._file.metadata.row_group(group).num_rows for group in range(self._file.num_row_groups)]
        self._starts: list[int] = [0, *np.cumsum(counts).tolist()]
        self._columns = {name: _ColumnReader(self, name) for name in names}

    def read(self, key: str) -> bytes:
        """The image in a row of a column."""
        column, row = split_row_key(self._path, key)
        if column not in self._columns or row >= self._starts[-1]:
            raise InputError(f"{self._path}: no image {key!r}; the file has changed, so ingest the source again")
        try:
            value = self._columns[column].value(row)
        except pa.ArrowException as error:
            raise OSError(errno.EIO, f"damaged Parquet file: {one_line(error)}") from error
        if value is None:
            raise OSError(errno.ENODATA, "the row holds no image")
        return value

    def group_of(self, row: int) -> int:
        """The row group of a row."""
        return bisect_right(self._starts, row) - 1

    def start_of(self, group: int) -> int:
        """First row of a row group."""
        return self._starts[group]

    def batches(self, column: str, group: int) -> Iterator[pa.Array]:
        """Yield the values of a column in a row group, a batch at a time."""
        leaf = f"{column}.bytes" if pa.types.is_struct(self._file.schema_arrow.field(column).type) else column
        for batch in self._file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=[leaf], use_threads=False):
            yield image_values(batch.column(0))

    def close(self) -> None:
        """Close the file and drop what was kept of it."""
        for column in self._columns.values():
            column.close()
        self._stream.close()


class _ColumnReader:
    """Values of a column by row, fastest in the order of the rows."""

    def __init__(self, file: ParquetImages, column: str) -> None:
        self._file = file
        self._column = column
        self._kept: deque[tuple[int, pa.Array]] = deque()
        self._passed: set[int] = set()
        self._batches: Iterator[pa.Array] = iter(())
        self._group, self._next = -1, 0
        self._unpacked: dict[int, Ids] = {}
        self._unpacked_file: IO[bytes] | None = None

    def value(self, row: int) -> bytes | None:
        group = self._file.group_of(row)
        if group not in self._unpacked:
            with _KEPT.lock:
                value, found = self._streamed(group, row)
                if found:
                    return value
                if group not in self._unpacked:
                    self._unpack(group)
        start, size = self._unpacked[group][row - self._file.start_of(group)].tolist()
        if start == _NO_IMAGE:
            return None
        assert self._unpacked_file is not None
        return read_at(self._unpacked_file.fileno(), start, size)

    def _streamed(self, group: int, row: int) -> tuple[bytes | None, bool]:
        """The value of a row among those kept or still ahead, and whether it is there."""
        for start, values in reversed(self._kept):
            if start <= row < start + len(values):
                return values[row - start].as_py(), True
        if group not in self._passed:
            self._passed.add(group)
            self._batches, self._group = self._file.batches(self._column, group), group
            self._next = self._file.start_of(group)
        if group != self._group or row < self._next:
            return None, False
        for values in self._batches:
            start, self._next = self._next, self._next + len(values)
            self._kept.append((start, values))
            _KEPT.add(self, values.nbytes)
            if row < self._next:
                return values[row - start].as_py(), True
        raise OSError(errno.EIO, "the row group ends before its last row")

    def drop_oldest(self) -> None:
        """Forget the batch that was read first."""
        if self._kept:
            self._kept.popleft()

    def _unpack(self, group: int) -> None:
        """Write the values of a row group to the file in the cache folder."""
        places: list[tuple[int, int]] = []
        for values in self._file.batches(self._column, group):
            places += self._append(values)
        self._unpacked[group] = np.asarray(places, np.int64)

    def _append(self, values: pa.Array) -> Iterator[tuple[int, int]]:
        """Write values to the file; yield position and size of each."""
        folder = remote.cache_folder()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = self._unpacked_file = self._unpacked_file or tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
            position = file.seek(0, os.SEEK_END)
            for value in values:
                content = value.as_py()
                yield _NO_IMAGE if content is None else position, len(content or b"")
                position += file.write(content or b"")
            file.flush()
        except OSError as error:
            what = f"{folder}: can't be written: {error.strerror or error}; name another folder by PURIFY_CACHE"
            raise PurifyError(what) from error

    def close(self) -> None:
        with _KEPT.lock:
            self._kept.clear()
        self._batches = iter(())
        if self._unpacked_file is not None:
            self._unpacked_file.close()


class _KeptBatches:
    """The batches in memory, of all files, oldest first; guards the readers too."""

    def __init__(self, most: int) -> None:
        self.lock = RLock()
        self._most = most
        self._bytes = 0
        self._order: deque[tuple[_ColumnReader, int]] = deque()

    def add(self, reader: _ColumnReader, size: int) -> None:
        """Count a batch that `reader` has just kept; drop the oldest beyond the budget, never the last."""
        self._order.append((reader, size))
        self._bytes += size
        while self._bytes > self._most and len(self._order) > 1:
            oldest, dropped = self._order.popleft()
            oldest.drop_oldest()
            self._bytes -= dropped


_KEPT = _KeptBatches(_MOST_KEPT)
