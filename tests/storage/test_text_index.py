from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import given
from hypothesis import strategies as st

from purify.storage.text_index import TextIndex

texts = st.lists(st.one_of(st.none(), st.text("abé", max_size=3)), max_size=40)


@given(texts, texts, st.integers(0, 40))
def test_texts_are_found_in_parts_as_by_one_search(
    values: list[str | None], wanted: list[str | None], cut: int
) -> None:
    array, chunked = pa.array(values, pa.string()), pa.chunked_array([values[:cut], values[cut:]], pa.string())
    known = array.drop_null()
    expected = pc.fill_null(pc.index_in(pa.array(wanted, pa.string()), known, skip_nulls=True), -1).to_pylist()
    index = TextIndex(known)
    found = [row for part in (wanted[:cut], wanted[cut:]) for row in index.find(pa.array(part, pa.string())).tolist()]
    assert found == expected
    assert [index.row_of(text) for text in wanted if text is not None] == [
        row for row, text in zip(expected, wanted, strict=True) if text is not None
    ]
    np.testing.assert_array_equal(
        TextIndex(chunked).find(array), [-1 if value is None else values.index(value) for value in values]
    )


@given(texts)
def test_values_that_occur_again_are_told(values: list[str | None]) -> None:
    again = [row for row, value in enumerate(values) if value in values[:row]]
    assert sorted(TextIndex(pa.array(values, pa.string())).repeated().tolist()) == again
