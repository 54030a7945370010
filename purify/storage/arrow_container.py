"""Arrow files with images inside, as ``datasets.save_to_disk`` writes them, as memory-mapped containers."""

from __future__ import annotations

import errno
import os
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from purify.errors import InputError
from purify.storage.files import one_line, readable
from purify.storage.parquet_container import image_values, split_row_key


def map_batches(path: Path) -> tuple[pa.MemoryMappedFile, pa.Schema, Sequence[pa.RecordBatch]]:
    """Map an Arrow file, of the stream or the file format: the map, to be closed, the schema, and its batches.

    InputError if it is unreadable or damaged.
    """
    with readable(path):
        source = pa.memory_map(os.fspath(path))
    try:
        if source.read(6) == b"ARROW1":
            file = pa.ipc.open_file(source)
            schema, batches = file.schema, [file.get_batch(number) for number in range(file.num_record_batches)]
        else:
            source.seek(0)
            stream = pa.ipc.open_stream(source)
            schema, batches = stream.schema, list(stream)
        _ = schema.names  # decoded only now: a damaged one is no text
        for batch in batches:
            batch.validate(full=True)  # a damaged offset would be read outside of the map
        return source, schema, batches
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        source.close()
        raise InputError(f"{path}: not an Arrow file, or a damaged one: {one_line(error)}") from error


class ArrowImages:
    """An Arrow file; see `purify.storage.containers.Container` and `purify.storage.parquet_container.row_key`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._map, self._schema, self._batches = map_batches(path)
        self._starts: list[int] = [0, *np.cumsum([len(batch) for batch in self._batches]).tolist()]

    def read(self, key: str) -> bytes:
        """The image in a row of a column."""
        column, row = split_row_key(self._path, key)
        if column not in self._schema.names or row >= self._starts[-1]:
            raise InputError(f"{self._path}: no image {key!r}; the file has changed, so ingest the source again")
        number = bisect_right(self._starts, row) - 1
        at = row - self._starts[number]
        value = image_values(self._batches[number].column(column).slice(at, 1))[0].as_py()
        if value is None:
            raise OSError(errno.ENODATA, "the row holds no image")
        return bytes(value)

    def close(self) -> None:
        """Release the file."""
        self._batches = ()
        self._map.close()
