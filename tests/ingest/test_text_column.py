"""A growing column of text behaves as a list does."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from purify.ingest import text_column
from purify.ingest.text_column import TextColumn


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_column, "_CHUNK", 3)


@given(st.lists(st.none() | st.text(max_size=4), max_size=20), st.integers(0, 20), st.integers(0, 20))
def test_it_is_a_list_of_its_values(values: list[str | None], start: int, stop: int) -> None:
    column = TextColumn(values)
    assert len(column) == len(values)
    assert list(column) == values
    assert [column[row] for row in range(len(values))] == values
    assert column[start:stop] == values[start:stop]
    assert column[::-2] == values[::-2]
    assert pa.array(column, pa.string()).to_pylist() == values
    assert pa.table({"text": column})["text"].to_pylist() == values
    assert any(column) == any(values)


def test_rows_outside_are_refused() -> None:
    column = TextColumn("abcd")
    assert column[-1] == "d"
    with pytest.raises(IndexError):
        column[4]
