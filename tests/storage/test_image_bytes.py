from __future__ import annotations

import io
import os
import sys
import tarfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purify.errors import InputError
from purify.storage import positioned as blobs
from purify.storage.image_bytes import ImageByteReader
from purify.storage.locations import Url, as_text, container_uri, file_uri, inner_path, split_uri, tar_uri
from purify.storage.tar_index import index_tar

WriteTar = Callable[[Path, Mapping[str, bytes]], Path]
names = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1)


@given(member=names, file=names)
def test_uris_come_apart_as_they_were_put_together(member: str, file: str) -> None:
    archive = Path("/") / file.strip("/")
    assert split_uri(tar_uri(member, archive)) == (archive, "tar", member)
    assert split_uri(file_uri(archive)) == (archive, None, None)
    if file.strip("/"):
        url = Url("s3", f"bucket/{file.strip('/')}")
        assert split_uri(container_uri("rec", member, url)) == (url, "rec", member)
        assert split_uri(file_uri(url)) == (url, None, None)


def test_uris_of_ordinary_names_read_well() -> None:
    assert file_uri("/data/a b.jpg") == "file:///data/a%20b.jpg" == Path("/data/a b.jpg").as_uri()
    assert tar_uri("x/1.jpg", "/d/s.tar") == "tar://x/1.jpg::file:///d/s.tar"
    assert tar_uri("x/1.jpg", Url("s3", "b/s.tar")) == "tar://x/1.jpg::s3://b/s.tar"


@pytest.mark.parametrize(
    "uri", ["", "/a.jpg", "s3://", "local:///a.jpg", "file://host/a", "tar://x", "s3://x::file:///a.zip"]
)
def test_other_uris_are_refused(uri: str) -> None:
    with pytest.raises(InputError, match="not a uri of an image"):
        split_uri(uri)


@given(st.lists(st.sampled_from(["a", "b c", ".", "..", "é"]), min_size=1, max_size=6))
def test_inner_paths_stay_inside(parts: list[str]) -> None:
    path = "/".join(parts)
    if ".." in parts:
        with pytest.raises(InputError, match="leaves the image root"):
            inner_path(path)
    else:
        assert inner_path(path) == "/".join(part for part in parts if part != ".") or inner_path(path) == "."


def test_names_that_are_not_utf8_become_text() -> None:
    assert as_text(os.fsdecode(b"caf\xe9/1.jpg")) == "caf\\xe9/1.jpg"


@given(files=st.dictionaries(st.text("ab/é. ", min_size=1).filter(lambda n: n[0] not in "/."), st.binary(max_size=900)))
def test_members_come_back_as_they_went_in(
    files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory, write_tar: WriteTar
) -> None:
    wanted: dict[str, bytes] = {}
    for name, content in files.items():
        if ".." not in name.split("/") and not name.endswith(("/", "/.")):
            wanted[inner_path(name) if name.strip() else name] = content
    wanted = {name: content for name, content in wanted.items() if name.strip() and not name.startswith("/")}
    path = write_tar(tmp_path_factory.mktemp("tar") / "set.tar", wanted)
    assert set(index_tar(path).members) == set(wanted)
    with ImageByteReader() as reader:
        assert {name: reader.read(tar_uri(name, path)) for name in wanted} == wanted


def test_many_threads_read_at_once(tmp_path: Path, write_tar: WriteTar) -> None:
    files = {f"p{i % 7}/{i}.bin": bytes([i % 256]) * (100 + i) for i in range(300)}
    path = write_tar(tmp_path / "set.tar", files)
    with ImageByteReader() as reader, ThreadPoolExecutor(8) as pool:
        contents = list(pool.map(lambda name: reader.read(tar_uri(name, path)), files))
    assert contents == list(files.values())


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
def test_closing_frees_the_descriptors(tmp_path: Path, write_tar: WriteTar) -> None:
    path = write_tar(tmp_path / "set.tar", {"a/1": b"x"})
    before = len(os.listdir("/proc/self/fd"))
    with ImageByteReader() as reader:
        reader.read(tar_uri("a/1", path))
        assert len(os.listdir("/proc/self/fd")) == before + 1
    assert len(os.listdir("/proc/self/fd")) == before


def test_files_are_read_and_other_things_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a b.bin").write_bytes(b"content")
    os.mkfifo(tmp_path / "pipe")
    with ImageByteReader() as reader:
        assert reader.read(file_uri(tmp_path / "a b.bin")) == b"content"
        with pytest.raises(FileNotFoundError):
            reader.read(file_uri(tmp_path / "none"))
        with pytest.raises(OSError, match="not a plain file"):
            reader.read(file_uri(tmp_path / "pipe"))
        monkeypatch.setattr(blobs, "MAX_BYTES", 3)
        with pytest.raises(OSError, match="7 bytes"):
            reader.read(file_uri(tmp_path / "a b.bin"))


def test_an_archive_that_shrinks_while_it_is_read(tmp_path: Path, write_tar: WriteTar) -> None:
    path = write_tar(tmp_path / "set.tar", {"a/1": b"x" * 5000})
    with ImageByteReader() as reader:
        reader.read(tar_uri("a/1", path))
        os.truncate(path, 2000)
        with pytest.raises(OSError, match="ends before"):
            reader.read(tar_uri("a/1", path))


def test_a_member_that_is_not_there(tmp_path: Path, write_tar: WriteTar) -> None:
    path = write_tar(tmp_path / "set.tar", {"a/1": b"x"})
    with ImageByteReader() as reader, pytest.raises(InputError, match=r"set\.tar: holds no file a/2"):
        reader.read(tar_uri("a/2", path))


@pytest.mark.parametrize("content", [b"", b"rubbish" * 200, b"\xff" * 5000])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "set.tar"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"set\.tar: not a tar archive"):
        index_tar(path)


@pytest.mark.parametrize("cut", [700, 1024 + 100, 1536 + 300])
def test_an_archive_that_is_cut_off_is_refused(tmp_path: Path, write_tar: WriteTar, cut: int) -> None:
    path = write_tar(tmp_path / "set.tar", {"a/1": b"x" * 512, "a/2": b"y" * 512})
    os.truncate(path, cut)
    with pytest.raises(InputError, match="damaged"):
        index_tar(path)


def test_a_broken_header_in_the_middle_does_not_end_the_archive(tmp_path: Path, write_tar: WriteTar) -> None:
    path = write_tar(tmp_path / "set.tar", {"a/1": b"x" * 512, "a/2": b"y" * 512})
    content = bytearray(path.read_bytes())
    content[1024:1100] = b"\xaa" * 76
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged tar archive: no member header at byte 1024"):
        index_tar(path)


@pytest.mark.parametrize("name", ["../a.jpg", "/etc/a.jpg", "x/../../a.jpg"])
def test_members_that_leave_the_archive_are_refused(tmp_path: Path, write_tar: WriteTar, name: str) -> None:
    path = write_tar(tmp_path / "set.tar", {"a/1.jpg": b"x", name: b"y"})
    with pytest.raises(InputError, match=r"set\.tar: member .*leaves the image root"):
        index_tar(path)


def test_a_member_that_is_there_twice(tmp_path: Path) -> None:
    path = tmp_path / "set.tar"
    with tarfile.open(path, "w") as archive:
        for name in ("a/1", "./a/1"):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    with pytest.raises(InputError, match="member a/1 occurs twice"):
        index_tar(path)


def test_all_bad_members_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "set.tar"
    with tarfile.open(path, "w") as archive:
        for name in ("a/1", "a/1", "../x", *(f"b/{i % 5}" for i in range(10))):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    with pytest.raises(InputError) as caught:
        index_tar(path)
    assert "member ../x: leaves the image root" in str(caught.value)
    assert "member a/1 occurs twice; member b/0 occurs twice; member b/1 occurs twice" in str(caught.value)
    assert "6 such members; write the archive anew" in str(caught.value)


def test_links_and_devices_are_never_members(tmp_path: Path) -> None:
    path = tmp_path / "set.tar"
    kinds = {"s": tarfile.SYMTYPE, "h": tarfile.LNKTYPE, "c": tarfile.CHRTYPE, "f": tarfile.FIFOTYPE}
    with tarfile.open(path, "w") as archive:
        for name, kind in kinds.items():
            member = tarfile.TarInfo(f"a/{name}")
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    index = index_tar(path)
    assert not index.members
    assert dict(index.refused) == {
        "a/s": "a symbolic link", "a/h": "a hard link", "a/c": "a device", "a/f": "a named pipe"
    }  # fmt: skip


def test_a_changed_archive_is_indexed_anew(tmp_path: Path, write_tar: WriteTar) -> None:
    path = write_tar(tmp_path / "set.tar", {"a/1": b"x"})
    assert list(index_tar(path).members) == ["a/1"]
    write_tar(path, {"b/1": b"x" * 20000})
    assert list(index_tar(path).members) == ["b/1"]
