from __future__ import annotations

import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purify.config import IngestConfig
from purify.errors import InputError
from purify.ingest.ingest import ingest
from purify.storage import positioned
from purify.storage.image_bytes import ImageByteReader
from purify.storage.locations import container_uri
from purify.storage.zip_archive import _inflate, index_zip

Encode = Callable[..., bytes]
Write = Callable[[Path, Mapping[str, bytes]], Path]
_NAMES = st.text(st.characters(exclude_characters="\0/\\:", exclude_categories=("Cs",)), min_size=1, max_size=9).filter(
    lambda name: name.strip(".") and name.strip()
)


def _write(path: Path, files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@given(files=st.dictionaries(_NAMES, st.binary(max_size=2000), min_size=1, max_size=6), deflated=st.booleans())
def test_members_come_back_as_they_went_in(
    files: dict[str, bytes], deflated: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    method = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
    path = _write(
        tmp_path_factory.mktemp("zip") / "set.zip", {f"a/{name}": data for name, data in files.items()}, method
    )
    with ImageByteReader() as reader, ThreadPoolExecutor(4) as pool:
        uris = [container_uri("zip", f"a/{name}", path) for name in files]
        assert list(pool.map(reader.read, uris * 3)) == list(files.values()) * 3


def test_a_zip_gives_the_manifest_of_its_folder(
    tmp_path: Path, write_tree: Write, encode: Encode, config: IngestConfig
) -> None:
    files = {f"{label}/{i}.png": encode(seed=i) for label in ("Zoë", "B b") for i in range(3)}
    folder = ingest(write_tree(tmp_path / "set", files), [], config)
    _write(tmp_path / "set.zip", files | {"__MACOSX/B b/._1.png": b"x", "B b/1.json": b"{}"})
    archive = ingest(tmp_path / "set.zip", [], config)
    assert archive.drop(["uri"]).equals(folder.drop(["uri"]))


def test_members_that_cannot_be_read_are_rows_with_the_reason(
    tmp_path: Path, encode: Encode, config: IngestConfig
) -> None:
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("A/1.png", encode(seed=1))
        archive.writestr("A/2.png", encode(seed=2), zipfile.ZIP_LZMA)
        link = zipfile.ZipInfo("A/3.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("A/4.png", encode(seed=4))
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"PK\x01\x02")
    content[entry + 8] |= 1  # the last member claims to be encrypted
    path.write_bytes(content)
    manifest = ingest(path, [], config)
    assert manifest["status"].to_pylist() == ["ok", "unreadable", "unreadable", "unreadable"]
    reasons = manifest["status_reason"].to_pylist()
    assert "compressed by lzma" in reasons[1]
    assert "a symbolic link" in reasons[2]
    assert "encrypted; write the archive anew without a password" in reasons[3]


def test_a_bomb_is_bounded_by_what_its_directory_promises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: IngestConfig, encode: Encode
) -> None:
    path = _write(tmp_path / "set.zip", {"A/1.jpg": bytes(1 << 24), "A/2.png": encode()})
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = struct.pack("<I", 1000)
    path.write_bytes(content)
    assert ingest(path, [], config)["status_reason"][0].as_py().startswith("read_error: damaged in the zip")
    packed = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    assert len(_inflate(packed.compress(bytes(1 << 24)) + packed.flush(), 1000)) == 1001
    monkeypatch.setattr("purify.storage.zip_archive.MAX_BYTES", 999)
    with ImageByteReader() as reader, pytest.raises(OSError, match="1000 bytes; images have at most 999"):
        reader.read(container_uri("zip", "A/1.jpg", path))
    assert positioned.MAX_BYTES == 1 << 30


def test_names_written_on_windows_and_without_a_flag(tmp_path: Path, encode: Encode) -> None:
    path = _write(tmp_path / "set.zip", {"Zoe/1.png": encode(), "b/2.png": encode()})
    content = (
        path.read_bytes()
        .replace(b"Zoe/1.png", "Zé\\1.png".encode())
        .replace(b"PK\x01\x02\x14\x03", b"PK\x01\x02\x14\0")
    )
    path.write_bytes(content)
    assert list(index_zip(path).members) == ["Zé/1.png", "b/2.png"]


@pytest.mark.parametrize("name", ["../x.png", "/etc/x.png"])
def test_names_that_leave_the_archive_are_refused(tmp_path: Path, name: str) -> None:
    _write(tmp_path / "set.zip", {"a/1.png": b"", name: b""})
    with pytest.raises(InputError, match=r"set\.zip: member .*leaves the image root"):
        index_zip(tmp_path / "set.zip")


@pytest.mark.parametrize("cut", [0, 30, 200])
def test_a_zip_that_is_cut_off_is_refused(tmp_path: Path, cut: int, config: IngestConfig) -> None:
    path = _write(tmp_path / "set.zip", {"a/1.png": os.urandom(900)})
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError, match="not a zip archive, or a damaged one"):
        ingest(path, [], config)


@given(place=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_flipped_bits_never_give_other_bytes(place: int, flip: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    files = {"a/1": b"x" * 300, "a/2": bytes(range(256))}
    path = _write(tmp_path_factory.mktemp("zip") / "set.zip", files)
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= flip
    path.write_bytes(content)
    try:
        names = list(index_zip(path).members)
    except InputError:
        return
    with ImageByteReader() as reader:
        for name in names:
            try:
                assert reader.read(container_uri("zip", name, path)) in files.values()
            except (OSError, InputError):
                continue


@pytest.mark.parametrize("comment", [b"", b"of a day"])
def test_joined_archives_are_refused_and_a_program_before_one_is_not(tmp_path: Path, comment: bytes) -> None:
    """``cat a.zip b.zip``: the last directory knows nothing of the first archive."""
    parts = []
    for name in ("a", "b"):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            archive.writestr(f"{name}/1.jpg", b"x" * 99)
            archive.comment = comment
        parts.append((tmp_path / f"{name}.zip").read_bytes())
    joined = tmp_path / "joined.zip"
    joined.write_bytes(b"".join(parts))
    with pytest.raises(InputError, match="several archives joined"):
        index_zip(joined)
    joined.write_bytes(b"#!/bin/sh\n" * 9 + parts[1])
    assert list(index_zip(joined).members) == ["b/1.jpg"]


def test_a_directory_that_lists_fewer_members_than_its_end_says_is_refused(tmp_path: Path) -> None:
    path = _write(tmp_path / "set.zip", {f"a/{i}.png": b"x" for i in range(4)})
    content = bytearray(path.read_bytes())
    end = content.rindex(b"PK\x05\x06")
    content[end + 10 : end + 12] = struct.pack("<H", 6)
    path.write_bytes(content)
    with pytest.raises(InputError, match="its directory has 4 members, its end says 6"):
        index_zip(path)


def test_a_member_without_a_name_is_refused(tmp_path: Path) -> None:
    path = _write(tmp_path / "set.zip", {"a": b"x"})
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"PK\x01\x02")
    content[entry + 28 : entry + 30] = b"\0\0"
    content[entry + 30 : entry + 32] = b"\x01\0"  # the byte of the name becomes an extra field, too short to be one
    path.write_bytes(content)
    with pytest.raises(InputError):
        index_zip(path)
