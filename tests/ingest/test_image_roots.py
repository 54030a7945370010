from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from purify.errors import InputError
from purify.ingest.image_roots import ImageRoots
from purify.storage.image_bytes import ImageByteReader
from purify.storage.locations import file_uri, tar_uri

Write = Callable[[Path, Mapping[str, bytes]], Path]


@pytest.fixture
def folder(tmp_path: Path, write_tree: Write) -> Path:
    return write_tree(tmp_path / "folder", {"b/2.jpg": b"b2", "a/1.jpg": b"a1", "a-b/1.jpg": b"ab", ".git/x": b""})


@pytest.fixture
def archive(tmp_path: Path, write_tar: Write) -> Path:
    return write_tar(tmp_path / "set.tar", {"./c/3.jpg": b"c3", "a/1.jpg": b"other", "c/.hidden": b""})


def test_roots_are_searched_in_order(folder: Path, archive: Path) -> None:
    for paths, content in (([folder, archive], b"a1"), ([archive, folder], b"other")):
        roots = ImageRoots(paths)
        with ImageByteReader() as reader:
            assert reader.read(str(roots.resolve("a/1.jpg"))) == content
            assert reader.read(str(roots.resolve("./c//3.jpg"))) == b"c3"
            assert roots.resolve("c/4.jpg") is None
            assert roots.resolve("a") is None
            assert roots.resolve("a/1.jpg/x") is None
            assert roots.resolve("a/" + "x" * 400) is None


def test_names_are_listed_once_without_hidden_files(folder: Path, archive: Path) -> None:
    roots = ImageRoots([folder, archive])
    assert list(roots.names()) == ["a/1.jpg", "a-b/1.jpg", "b/2.jpg", "c/3.jpg"]
    assert all(roots.resolve(name) for name in roots.names())


def test_uris_say_where_the_bytes_are(folder: Path, archive: Path) -> None:
    roots = ImageRoots([folder, archive])
    assert roots.resolve("b/2.jpg") == file_uri(folder / "b/2.jpg")
    assert roots.resolve("c/3.jpg") == tar_uri("c/3.jpg", archive)


def test_absolute_paths_inside_a_root(folder: Path, archive: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    other = tmp_path / "folder2"
    (other / "b").mkdir(parents=True)
    (other / "b" / "2.jpg").write_bytes(b"")
    roots = ImageRoots([archive, other, tmp_path / "link"])
    assert roots.resolve(str(folder / "b/2.jpg")) == file_uri(folder / "b/2.jpg")
    assert roots.resolve(str(tmp_path / "link/b/2.jpg")) == file_uri(folder / "b/2.jpg")
    with pytest.raises(InputError, match="absolute path outside"):
        roots.resolve("/etc/passwd")
    with pytest.raises(InputError, match="absolute path outside"):
        roots.resolve(f"{folder}-twin/b/2.jpg")


@pytest.mark.parametrize("path", ["", "  ", "../a.jpg", "a/../b/2.jpg", "a/\0.jpg"])
def test_paths_that_are_refused(folder: Path, path: str) -> None:
    with pytest.raises(InputError):
        ImageRoots([folder]).resolve(path)


def test_links_are_followed_inside_the_root_only(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (folder / "a" / "in.jpg").symlink_to("../b/2.jpg")
    (folder / "a" / "out.jpg").symlink_to(tmp_path / "secret.jpg")
    (folder / "outside").symlink_to(tmp_path)
    (folder / "a" / "broken.jpg").symlink_to("nothing")
    (folder / "a" / "loop.jpg").symlink_to("loop.jpg")
    roots = ImageRoots([folder])
    with ImageByteReader() as reader:
        assert reader.read(str(roots.resolve("a/in.jpg"))) == b"b2"
    for name in ("a/out.jpg", "outside/secret.jpg"):
        with pytest.raises(InputError, match=f"{name}: a link that leaves the root"):
            roots.resolve(name)
    assert roots.resolve("a/broken.jpg") is None
    assert roots.resolve("a/loop.jpg") is None


def test_what_is_in_the_archive_but_no_file(tmp_path: Path) -> None:
    path = tmp_path / "set.tar"
    with tarfile.open(path, "w") as archive:
        link = tarfile.TarInfo("a/1.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    roots = ImageRoots([path])
    assert roots.resolve("a/1.jpg") is None
    [entry] = roots.find_all("a/1.jpg")
    assert str(entry.problem).startswith("not_a_file: a symbolic link")
    assert list(roots.names()) == []


def test_roots_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match=r"x\.zip: not a zip archive, or a damaged one"):
        ImageRoots([tmp_path / "x.zip"])
    with pytest.raises(InputError, match="nowhere: no such file"):
        ImageRoots([tmp_path / "nowhere"])
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="neither a folder nor a file"):
        ImageRoots([tmp_path / "pipe"])
