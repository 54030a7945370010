"""The scanner of tar headers: parity with Python's ``tarfile``, and archives that it can't read right."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purify.storage.tar_headers import DamagedTarError, TarScan

_PART = st.text(st.characters(exclude_characters="\0/", exclude_categories=("Cs",)), min_size=1, max_size=90)
_MEMBERS = st.lists(
    st.tuples(st.lists(_PART, min_size=1, max_size=3), st.sampled_from(b"00000123567"), st.integers(0, 1400)),
    max_size=6,
)
Archive = list[tuple[list[str], int, int]]


def _written(members: Archive, form: int) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        for parts, kind, size in members:
            member = tarfile.TarInfo("/".join(parts))
            member.type = bytes([kind])
            member.size = size if kind in b"07" else 0
            member.linkname = "elsewhere" if kind in b"12" else ""
            try:
                archive.addfile(member, io.BytesIO(b"\xa7" * member.size))
            except ValueError:  # the name is too long for the form
                continue
    return stream.getvalue()


@given(members=_MEMBERS, form=st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
def test_members_are_those_of_tarfile(members: Archive, form: int) -> None:
    content = _written(members, form)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        wanted = [(member.name, member.offset_data, member.size) for member in archive if member.isreg()]
    scan = TarScan(io.BytesIO(content))
    found = [(one.name, one.offset, one.size) for one in scan if one.kind is None and not one.is_folder]
    assert found == wanted
    assert scan.notes == []


@given(members=_MEMBERS, data=st.data())
def test_damage_is_an_error_of_ours_or_leaves_members_inside_the_file(members: Archive, data: st.DataObject) -> None:
    content = bytearray(_written(members, tarfile.PAX_FORMAT))
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=4)):
        content[place] ^= data.draw(st.integers(1, 255))
    del content[data.draw(st.integers(1, len(content))) :]
    try:
        found = list(TarScan(io.BytesIO(content)))
    except DamagedTarError:
        return
    assert all(0 <= one.offset <= one.offset + one.size <= len(content) for one in found if one.kind is None)


def test_joined_archives_are_read_to_their_end() -> None:
    parts = [_written([([f"{i}.jpg"], ord("0"), 700)], tarfile.GNU_FORMAT) for i in range(3)]
    scan = TarScan(io.BytesIO(b"".join(parts)))
    assert [one.name for one in scan] == ["0.jpg", "1.jpg", "2.jpg"]
    assert scan.notes == []


def test_a_missing_end_mark_and_what_is_no_archive_are_noted() -> None:
    content = _written([(["1.jpg"], ord("0"), 512)], tarfile.GNU_FORMAT)
    scan = TarScan(io.BytesIO(content[:1024]))
    assert [one.name for one in scan] == ["1.jpg"]
    assert scan.notes == ["has no end mark, so it may have been cut off behind a member"]
    scan = TarScan(io.BytesIO(content + b"x" * 700))
    assert [one.name for one in scan] == ["1.jpg"]
    assert scan.notes == ["has 700 bytes behind its end mark that are no archive"]


def test_a_header_of_zeros_is_a_lost_member() -> None:
    content = bytearray(_written([([f"{i}.jpg"], ord("0"), 700) for i in range(3)], tarfile.GNU_FORMAT))
    content[1536:2048] = bytes(512)
    with pytest.raises(DamagedTarError, match="no member header at byte 1536"):
        list(TarScan(io.BytesIO(content)))


def test_thousands_of_extended_headers_are_one_error() -> None:
    header = _written([(["d" * 150, "1.jpg"], ord("0"), 0)], tarfile.PAX_FORMAT)[:1024]
    with pytest.raises(DamagedTarError, match="before its member"):
        list(TarScan(io.BytesIO(header * 3000)))
