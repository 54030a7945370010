"""Parquet files opened with all that guards against damage: checksums of the pages, and the sizes that they claim.

A reader sets memory aside for a page by what its header claims. Arrow's checksums cover the page, not the header, where
one flipped bit claims two gigabytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from purify.storage.thrift_compact import CompactReader

#: Read at once from a Parquet file; without a buffer, Arrow reads a column of a whole row group at once.
BUFFER_BYTES = 1 << 20
#: Most bytes of a page, and bytes of which a page may claim more than its column has, as some writers count wrongly.
#: Writers aim at pages of one MiB; those of large images hold a hundred times as much.
_MOST_PAGE_BYTES, _SMALL_BYTES = 1 << 29, 1 << 26
_HEADER_BYTES, _MOST_HEADER_BYTES = 1 << 10, 1 << 20
#: Fields of Parquet's format: `FileMetaData.row_groups`, `RowGroup.columns`, `ColumnChunk.meta_data`.
_ROW_GROUPS, _COLUMNS, _META_DATA = 4, 1, 3
#: Of `ColumnMetaData`: name, bytes without and with compression, and where the pages and the dictionary begin.
_PATH, _UNCOMPRESSED, _COMPRESSED, _PAGES, _DICTIONARY = 3, 6, 7, 9, 11


class ColumnPages(NamedTuple):
    """Where the pages of a column in a row group are, and their bytes without compression, by the file's footer."""

    name: str
    start: int
    end: int
    uncompressed: int


def parquet_file(stream: pa.NativeFile) -> pq.ParquetFile:
    """Open a Parquet file; ArrowInvalid if it is none, or if a page claims more bytes than its column has."""
    file = pq.ParquetFile(stream, pre_buffer=False, buffer_size=BUFFER_BYTES, page_checksum_verification=True)
    for column in columns_of(stream):
        most = min(max(column.uncompressed, _SMALL_BYTES), _MOST_PAGE_BYTES)
        claimed = max(page_sizes(stream, column), default=0)
        if claimed > most:
            raise pa.ArrowInvalid(f"a page of {column.name} claims {claimed:,} bytes, {most:,} at most")
    return file


def columns_of(stream: pa.NativeFile) -> list[ColumnPages]:
    """The columns of each row group; none if the footer can't be read.

    Arrow's own view of a damaged footer ends the process (its C++ raises where Python doesn't expect it).
    """
    size = stream.size()
    stream.seek(max(0, size - 8))
    length = int.from_bytes(stream.read(4), "little")
    stream.seek(max(0, size - 8 - length))
    try:
        groups = CompactReader(stream.read(length)).struct()[_ROW_GROUPS]
        return [_column(chunk[_META_DATA]) for group in groups for chunk in group[_COLUMNS]]
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return []


def _column(chunk: Any) -> ColumnPages:
    start, compressed, uncompressed = (int(chunk[field]) for field in (_PAGES, _COMPRESSED, _UNCOMPRESSED))
    dictionary = int(chunk.get(_DICTIONARY, 0))
    start = min(start, dictionary) if dictionary > 0 else start
    return ColumnPages(b".".join(chunk[_PATH]).decode("utf-8", "replace"), start, start + compressed, uncompressed)


def page_sizes(stream: pa.NativeFile, column: ColumnPages) -> Iterator[int]:
    """Bytes that the pages of a column claim to need, compressed or not, as far as their headers can be read."""
    at = column.start
    while 0 < at < column.end:
        header = _read_header(stream, at)
        if header is None:
            return
        uncompressed, compressed, size = header
        yield max(uncompressed, compressed)
        at += size + max(compressed, 0)


def _read_header(stream: pa.NativeFile, at: int) -> tuple[int, int, int] | None:
    """Uncompressed and compressed size of the page at a place, and the size of its header; None if it is no header."""
    length = _HEADER_BYTES
    while length <= _MOST_HEADER_BYTES and at < stream.size():
        stream.seek(at)
        header = CompactReader(stream.read(length))
        try:
            fields = header.struct()
            return int(fields[2]), int(fields[3]), header.at
        except IndexError:
            length *= 32  # statistics hold values of the column, of any length
        except (KeyError, TypeError, ValueError):
            return None
    return None
