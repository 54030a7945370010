"""Parquet files opened with all that guards against damage: checksums of the pages, and the sizes that they claim.

A reader sets memory aside for a page by what its header claims. Arrow's checksums cover the page, not the header, where
one flipped bit claims two gigabytes.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

#: Read at once from a Parquet file; without a buffer, Arrow reads a column of a whole row group at once.
BUFFER_BYTES = 1 << 20
#: Most bytes of a page, and bytes of which a page may claim more than its column has, as some writers count wrongly.
#: Writers aim at pages of one MiB; those of large images hold a hundred times as much.
_MOST_PAGE_BYTES, _SMALL_BYTES = 1 << 29, 1 << 26
_HEADER_BYTES, _MOST_HEADER_BYTES = 1 << 10, 1 << 20
#: Types of Thrift's compact protocol.
_BOOLEANS, _BYTE, _INTEGERS, _DOUBLE, _BINARY, _LISTS, _STRUCT = (1, 2), 3, (4, 5, 6), 7, 8, (9, 10), 12


def parquet_file(stream: pa.NativeFile) -> pq.ParquetFile:
    """Open a Parquet file; ArrowInvalid if it is none, or if a page claims more bytes than its column has."""
    file = pq.ParquetFile(stream, pre_buffer=False, buffer_size=BUFFER_BYTES, page_checksum_verification=True)
    for group in range(file.metadata.num_row_groups):
        chunks = file.metadata.row_group(group)
        for column in range(chunks.num_columns):
            chunk = chunks.column(column)
            most = min(max(chunk.total_uncompressed_size, _SMALL_BYTES), _MOST_PAGE_BYTES)
            claimed = max(page_sizes(stream, chunk), default=0)
            if claimed > most:
                raise pa.ArrowInvalid(f"a page of {chunk.path_in_schema} claims {claimed:,} bytes, {most:,} at most")
    return file


def page_sizes(stream: pa.NativeFile, chunk: pq.ColumnChunkMetaData) -> Iterator[int]:
    """Uncompressed sizes that the pages of a column chunk claim, as far as their headers can be read."""
    at = chunk.data_page_offset
    if chunk.has_dictionary_page and chunk.dictionary_page_offset is not None:
        at = min(at, chunk.dictionary_page_offset)
    end = at + chunk.total_compressed_size
    while 0 < at < end:
        header = _read_header(stream, at)
        if header is None:
            return
        uncompressed, compressed, size = header
        yield uncompressed
        at += size + max(compressed, 0)


def _read_header(stream: pa.NativeFile, at: int) -> tuple[int, int, int] | None:
    """Uncompressed and compressed size of the page at a place, and the size of its header; None if it is no header."""
    length = _HEADER_BYTES
    while length <= _MOST_HEADER_BYTES:
        stream.seek(at)
        header = _Compact(stream.read(length))
        try:
            sizes = header.integers()
        except IndexError:
            length *= 32  # statistics hold values of the column, of any length
        except ValueError:
            return None
        else:
            return (sizes[2], sizes[3], header.at) if {2, 3} <= sizes.keys() else None
    return None


class _Compact:
    """Thrift's compact protocol, as far as page headers use it: IndexError at its end, ValueError for what is none."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def integers(self) -> dict[int, int]:
        """The integers among the fields of a struct; all others are passed over."""
        found: dict[int, int] = {}
        field = 0
        while head := self._byte():
            step, kind = head >> 4, head & 15
            field = field + step if step else self._zigzag()
            if kind in _INTEGERS:
                found[field] = self._zigzag()
            else:
                self._skip(kind)
        return found

    def _skip(self, kind: int) -> None:
        if kind in _BOOLEANS:
            return
        if kind in _INTEGERS:
            self._varint()
        elif kind == _STRUCT:
            self.integers()
        elif kind in _LISTS:
            head = self._byte()
            count = head >> 4 if head >> 4 < 15 else self._varint()
            for _ in range(min(count, len(self._data) + 1)):
                self._skip(_BYTE if head & 15 in _BOOLEANS else head & 15)
        elif kind in (_BYTE, _DOUBLE, _BINARY):
            size = {_BYTE: 1, _DOUBLE: 8}.get(kind) or self._varint()
            self.at += size
        else:
            raise ValueError(f"no type of a page header: {kind}")

    def _byte(self) -> int:
        value = self._data[self.at]
        self.at += 1
        return value

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise ValueError("a number of more than ten bytes")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
