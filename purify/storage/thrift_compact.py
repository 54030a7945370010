"""Thrift's compact protocol, read only: the footers and page headers of Parquet files."""

from __future__ import annotations

from typing import Any

_TRUE, _FALSE, _BYTE, _INTEGERS, _DOUBLE, _BINARY, _LISTS, _STRUCT = 1, 2, 3, (4, 5, 6), 7, 8, (9, 10), 12
_MOST_DEPTH = 20


class CompactReader:
    """Reads structs from `data`; `at` is the place so far. IndexError at the end, ValueError for what is no struct."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """Values of a struct by the numbers of its fields: integers, bytes, lists and structs."""
        if depth > _MOST_DEPTH:
            raise ValueError("structs in structs")
        found: dict[int, Any] = {}
        field = 0
        while (head := self._byte()) & 15:
            field = field + (head >> 4) if head >> 4 else self._integer()
            found[field] = self._value(head & 15, depth)
        return found

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (_TRUE, _FALSE):
            return kind == _TRUE
        if kind in _INTEGERS:
            return self._integer()
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind in _LISTS:
            return self._list(depth + 1)
        if kind in (_BYTE, _DOUBLE, _BINARY):
            return self._bytes({_BYTE: 1, _DOUBLE: 8}.get(kind) or self._varint())
        raise ValueError(f"no type of a value: {kind}")

    def _list(self, depth: int) -> list[Any]:
        if depth > _MOST_DEPTH:
            raise ValueError("lists in lists")
        head = self._byte()
        count, kind = head >> 4, head & 15
        kind = _BYTE if kind in (_TRUE, _FALSE) else kind
        return [self._value(kind, depth) for _ in range(count if count < 15 else self._varint())]

    def _bytes(self, count: int) -> bytes:
        if self.at + count > len(self._data):
            raise IndexError("bytes behind the end")
        self.at += count
        return self._data[self.at - count : self.at]

    def _byte(self) -> int:
        self.at += 1
        return self._data[self.at - 1]

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise ValueError("a number of more than ten bytes")

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
