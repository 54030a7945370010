from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purify.storage.thrift_compact import CompactReader

#: Fields 1: -3, 2: true, 3: b"ab", 20: [1, 2], 21: {1: 300}, 22: 8 bytes of a double.
_STRUCT = bytes([0x15, 5, 0x11, 0x18, 2, *b"ab", 0x09, 40, 0x25, 2, 4, 0x1C, 0x16, 0xD8, 4, 0, 0x17, *b"\0" * 8, 0])


def test_a_struct_is_read_by_the_numbers_of_its_fields() -> None:
    reader = CompactReader(_STRUCT + b"rest")
    assert reader.struct() == {1: -3, 2: True, 3: b"ab", 20: [1, 2], 21: {1: 300}, 22: bytes(8)}
    assert reader.at == len(_STRUCT)


@pytest.mark.parametrize("length", range(len(_STRUCT)))
def test_a_struct_that_is_cut_off_ends_too_early(length: int) -> None:
    with pytest.raises(IndexError):
        CompactReader(_STRUCT[:length]).struct()


def test_a_field_without_a_type_ends_a_struct() -> None:
    """As in Thrift's own reader, which a damaged header meets first."""
    assert CompactReader(b"\x15\x02\xc0").struct() == {1: 1}


@pytest.mark.parametrize("data", [b"\x1f", b"\x15" + b"\xff" * 12, b"\x1c" * 100])
def test_what_is_no_struct_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        CompactReader(data).struct()


@given(st.binary(max_size=300))
def test_any_bytes_are_a_struct_or_an_error(data: bytes) -> None:
    reader = CompactReader(data)
    try:
        found = reader.struct()
    except (IndexError, ValueError):
        return
    assert reader.at <= len(data)
    assert len(found) <= len(data)
