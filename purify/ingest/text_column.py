"""A growing column of text or nulls, kept as compressed blocks: names and places of images shrink to a few bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar, overload

import pyarrow as pa

_CHUNK = 1 << 12
_SCHEMA = pa.schema([pa.field("text", pa.string())])
_COMPRESSED = pa.ipc.IpcWriteOptions(compression="zstd")

_Text = TypeVar("_Text", str, str | None)


class TextColumn(Sequence[_Text]):
    """Values by row number, at little cost in their order."""

    def __init__(self, values: Iterable[_Text] = ()) -> None:
        self._chunks: list[bytes] = []
        self._latest: list[_Text] = []
        self._unpacked: tuple[int, pa.Array] = (-1, None)
        rows = iter(values)
        while chunk := list(islice(rows, _CHUNK)):
            self.extend(chunk)

    def append(self, value: _Text) -> None:
        """Add a row."""
        self.extend((value,))

    def extend(self, values: Iterable[_Text]) -> None:
        """Add rows."""
        self._latest.extend(values)
        while len(self._latest) >= _CHUNK:
            self._chunks.append(_packed(self._latest[:_CHUNK]))
            del self._latest[:_CHUNK]

    def chunked(self) -> pa.ChunkedArray:
        """The column as Arrow's text, uncompressed."""
        return pa.chunked_array([*map(_unpack, self._chunks), pa.array(self._latest, pa.string())], pa.string())

    def _chunk(self, number: int) -> pa.Array:
        kept, values = self._unpacked  # both at once: other threads replace them
        if kept != number:
            values = _unpack(self._chunks[number])
            self._unpacked = number, values
        return values

    def __len__(self) -> int:
        return len(self._chunks) * _CHUNK + len(self._latest)

    def __iter__(self) -> Iterator[_Text]:
        for chunk in self._chunks:
            yield from _unpack(chunk).to_pylist()
        yield from self._latest

    @overload
    def __getitem__(self, row: int) -> _Text: ...

    @overload
    def __getitem__(self, row: slice) -> list[_Text]: ...

    def __getitem__(self, row: int | slice) -> _Text | list[_Text]:
        if isinstance(row, slice):
            return self._rows(*row.indices(len(self)))
        row = int(row)
        if not -len(self) <= row < len(self):
            raise IndexError(row)
        chunk, place = divmod(row % len(self), _CHUNK)
        return self._chunk(chunk)[place].as_py() if chunk < len(self._chunks) else self._latest[place]

    def _rows(self, start: int, stop: int, step: int) -> list[_Text]:
        if step != 1:
            return [self[row] for row in range(start, stop, step)]
        values: list[_Text] = []
        while start < stop:
            chunk, place = divmod(start, _CHUNK)
            count = min(_CHUNK - place, stop - start)
            if chunk < len(self._chunks):
                values += self._chunk(chunk).slice(place, count).to_pylist()
            else:
                values += self._latest[place : place + count]
            start += count
        return values


def _packed(values: Sequence[str | None]) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, _SCHEMA, options=_COMPRESSED) as stream:
        stream.write_batch(pa.record_batch([pa.array(values, pa.string())], schema=_SCHEMA))
    return bytes(sink.getvalue())


def _unpack(chunk: bytes) -> pa.Array:
    return pa.ipc.open_stream(chunk).read_next_batch().column(0)


class TextRows:
    """Columns of text that are filled row by row, at less cost than one by one."""

    def __init__(self, count: int) -> None:
        self._columns: tuple[TextColumn[Any], ...] = tuple(TextColumn() for _ in range(count))
        self._latest: list[tuple[str | None, ...]] = []

    def append(self, row: tuple[str | None, ...]) -> None:
        """Add a row."""
        self._latest.append(row)
        if len(self._latest) == _CHUNK:
            self._pack()

    def columns(self) -> tuple[TextColumn[Any], ...]:
        """The columns with all rows so far."""
        self._pack()
        return self._columns

    def _pack(self) -> None:
        for column, values in zip(self._columns, zip(*self._latest, strict=True), strict=False):
            column.extend(values)
        self._latest.clear()
