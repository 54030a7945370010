from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purify.errors import InputError
from purify.storage.files import open_parquet, read_columns
from purify.storage.parquet_pages import columns_of, page_sizes, parquet_file

#: Bytes of a page of 1,000 numbers of four bytes, with the levels that tell nulls.
_PAGE = 4_007


def _sizes(path: Path) -> list[list[int]]:
    with pa.OSFile(str(path)) as stream:
        return [list(page_sizes(stream, column)) for column in columns_of(stream)]


@given(
    rows=st.integers(1, 3_000),
    compression=st.sampled_from(["none", "zstd", "snappy", "gzip"]),
    dictionary=st.booleans(),
    version=st.sampled_from(["1.0", "2.0"]),
    statistics=st.booleans(),
    long=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_pages_of_every_kind_are_walked_to_the_end(
    tmp_path_factory: pytest.TempPathFactory,
    rows: int,
    compression: str,
    dictionary: bool,
    version: str,
    statistics: bool,
    long: bool,
) -> None:
    """The pages' sizes and headers add up to those of their column, in files of both page versions."""
    path = tmp_path_factory.mktemp("pages") / "t.parquet"
    text = [("x" * 3_000 if long else "") + f"{number % 70}" for number in range(rows)]
    table = pa.table({"text": text, "flag": [n % 3 == 0 for n in range(rows)], "list": [[n, 1.5] for n in range(rows)]})
    pq.write_table(
        table,
        path,
        compression=compression,
        use_dictionary=dictionary,
        data_page_version=version,
        write_statistics=statistics,
        write_page_checksum=True,
        data_page_size=2_000,
        row_group_size=1_000,
    )
    with pa.OSFile(str(path)) as stream:
        metadata = parquet_file(stream).metadata
        found = columns_of(stream)
    chunks = [
        metadata.row_group(group).column(column)
        for group in range(metadata.num_row_groups)
        for column in range(metadata.num_columns)
    ]
    assert [(one.name, one.uncompressed, one.end - one.start) for one in found] == [
        (chunk.path_in_schema, chunk.total_uncompressed_size, chunk.total_compressed_size) for chunk in chunks
    ]
    totals = [chunk.total_uncompressed_size for chunk in chunks]
    for pages, total in zip(_sizes(path), totals, strict=True):
        assert pages
        # Headers hold the longest values twice; what can't be compressed grows a little.
        assert sum(pages) - 60 * len(pages) <= total <= sum(pages) + 7_000 * len(pages)


def _claiming(path: Path, size: int) -> None:
    """Rewrite the header of the first page, which claims `_PAGE` bytes, so that it claims `size` instead."""
    data = bytearray(path.read_bytes())
    start = data.index(_varint(2 * _PAGE), 4)
    old = _varint(2 * _PAGE)
    new = _varint(2 * size)
    assert len(new) >= len(old)
    data[start : start + len(old)] = new  # the rest moves: the page is damaged anyway
    path.write_bytes(bytes(data))


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


@pytest.mark.parametrize("size", [2**31 - 1, 600 << 20, 100 << 20])
def test_a_page_that_claims_more_than_its_column_is_refused_before_it_is_read(tmp_path: Path, size: int) -> None:
    path = tmp_path / "t.parquet"
    table = pa.table({"number": np.arange(1_000, dtype=np.int32)})
    pq.write_table(table, path, compression="none", use_dictionary=False, write_statistics=False)
    assert _sizes(path) == [[_PAGE]]
    _claiming(path, size)
    before = pa.total_allocated_bytes()
    with pytest.raises(InputError, match=rf"t\.parquet: .*a page of number claims {size:,} bytes"), open_parquet(path):
        pass
    assert pa.total_allocated_bytes() - before < 1 << 20


def test_small_claims_are_left_to_the_reader(tmp_path: Path) -> None:
    """Some writers count the bytes of a column wrongly."""
    path = tmp_path / "t.parquet"
    table = pa.table({"number": np.arange(1_000, dtype=np.int32)})
    pq.write_table(table, path, compression="none", use_dictionary=False, write_statistics=False)
    _claiming(path, 5_000)
    with open_parquet(path) as file:
        assert read_columns(path, file, ["number"]) == table


@given(st.binary(min_size=1, max_size=200), st.integers(0, 10_000))
@settings(max_examples=300, deadline=None)
def test_any_bytes_anywhere_are_no_trouble(tmp_path_factory: pytest.TempPathFactory, noise: bytes, place: int) -> None:
    """Also in the footer, where Arrow's own view of the columns would end the process."""
    path = tmp_path_factory.mktemp("noise") / "t.parquet"
    table = pa.table({"number": np.arange(100), "text": [f"{number}" for number in range(100)]})
    pq.write_table(table, path, compression="none", use_dictionary=False)
    data = bytearray(path.read_bytes())
    at = 4 + place % (len(data) - 4)
    data[at : at + len(noise)] = noise
    path.write_bytes(bytes(data))
    with suppress(InputError), open_parquet(path) as file:
        read_columns(path, file, ["number"])
