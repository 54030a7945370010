"""A growing column of text or nulls, kept as Arrow arrays: a fraction of the memory of Python's strings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar, overload

import pyarrow as pa

_CHUNK = 1 << 12

_Text = TypeVar("_Text", str, str | None)


class TextColumn(Sequence[_Text]):
    """Values by row number; `pyarrow.array` takes it as it is."""

    def __init__(self, values: Iterable[_Text] = ()) -> None:
        self._chunks: list[pa.Array] = []
        self._latest: list[_Text] = []
        rows = iter(values)
        while chunk := list(islice(rows, _CHUNK)):
            self.extend(chunk)

    def append(self, value: _Text) -> None:
        """Add a row."""
        self.extend((value,))

    @classmethod
    def of(cls, column: pa.Array | pa.ChunkedArray) -> TextColumn[Any]:
        """From Arrow's text; a column that came from here is not copied."""
        made: TextColumn[Any] = cls()
        for chunk in column.cast(pa.string()).chunks if isinstance(column, pa.ChunkedArray) else [column]:
            if len(chunk) == _CHUNK and not made._latest:
                made._chunks.append(chunk)
                continue
            for start in range(0, len(chunk), _CHUNK):
                made.extend(chunk.slice(start, _CHUNK).to_pylist())
        return made

    def extend(self, values: Iterable[_Text]) -> None:
        """Add rows."""
        self._latest.extend(values)
        while len(self._latest) >= _CHUNK:
            self._chunks.append(pa.array(self._latest[:_CHUNK], pa.string()))
            del self._latest[:_CHUNK]

    def chunked(self) -> pa.ChunkedArray:
        """The column as Arrow's text."""
        return pa.chunked_array([*self._chunks, pa.array(self._latest, pa.string())], pa.string())

    def __len__(self) -> int:
        return len(self._chunks) * _CHUNK + len(self._latest)

    def __iter__(self) -> Iterator[_Text]:
        for chunk in self._chunks:
            yield from chunk.to_pylist()
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
        return self._chunks[chunk][place].as_py() if chunk < len(self._chunks) else self._latest[place]

    def _rows(self, start: int, stop: int, step: int) -> list[_Text]:
        if step != 1 or stop - start > _CHUNK:
            return [self[row] for row in range(start, stop, step)]
        values: list[_Text] = []
        while start < stop:
            chunk, place = divmod(start, _CHUNK)
            count = min(_CHUNK - place, stop - start)
            if chunk < len(self._chunks):
                values += self._chunks[chunk].slice(place, count).to_pylist()
            else:
                values += self._latest[place : place + count]
            start += count
        return values

    def __arrow_array__(self, type: pa.DataType | None = None) -> Any:
        """Arrow's protocol for arrays of other libraries."""
        column = self.chunked()
        return column if type is None else column.cast(type)


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
