"""Members of an archive in arrays, found as in a dictionary."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purify.storage.packed_members import PackedMembers

#: Names with bytes that are not UTF-8, too.
names = st.binary(min_size=1, max_size=5).map(lambda name: name.decode("utf-8", "surrogateescape"))


@given(st.dictionaries(names, st.tuples(st.integers(0, 2**60), st.integers(0, 2**40)), max_size=30), names)
def test_members_are_found_by_name(members: dict[str, tuple[int, int]], other: str) -> None:
    packed = PackedMembers.of((name, *place) for name, place in members.items())
    assert dict(packed) == members
    assert list(packed) == list(members)
    assert (other in packed) == (other in members)
    assert packed.repeated == []
    assert packed.get(other) == members.get(other)


def test_names_that_occur_again_are_told_once_for_each_time() -> None:
    packed = PackedMembers.of((name, 0, 1) for name in ("a", "b", "a", "c", "a", "b"))
    assert sorted(packed.repeated) == ["a", "a", "b"]
    with pytest.raises(KeyError):
        packed["d"]
