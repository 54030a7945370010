"""Columns of a pairs table that are neither text nor numbers."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from purify.errors import InputError
from purify.tables.pairs import read_pairs

NAMES = ["a/1.jpg", "a/2.jpg", "b/1.jpg"]


@pytest.mark.parametrize("column", ["a", "b", "same", "fold"])
@pytest.mark.parametrize("kind", [pa.timestamp("us"), pa.duration("us"), pa.list_(pa.int64())])
def test_a_column_of_another_kind_is_named(tmp_path: Path, column: str, kind: pa.DataType) -> None:
    odd = pa.array([[2**62]] * 2, kind) if pa.types.is_list(kind) else pa.array([2**62] * 2, kind)
    columns = {"a": NAMES[:2], "b": NAMES[1:], "same": [1, 0], "fold": [0, 1], column: odd}
    path = tmp_path / "pairs.parquet"
    pq.write_table(pa.table(columns), path)
    with pytest.raises(InputError, match=f"pairs.parquet: column '{column}' is "):
        read_pairs(path, NAMES)
