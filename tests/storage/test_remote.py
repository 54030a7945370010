"""Sources on stores: in memory, and on a real S3-compatible server."""

from __future__ import annotations

import io
import os
import secrets
import tarfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest

from purify.config import IngestConfig
from purify.errors import InputError, PurifyError
from purify.ingest.image_roots import ImageRoots
from purify.ingest.ingest import ingest
from purify.storage import image_bytes as blobs
from purify.storage import remote
from purify.storage import tar_index as archives
from purify.storage.files import local_file
from purify.storage.image_bytes import ImageByteReader
from purify.storage.locations import Location, Url, file_uri, tar_uri, to_location
from purify.storage.tar_index import index_tar
from purify.tables.manifest import load_manifest

Encode = Callable[..., bytes]
Write = Callable[[Path, Mapping[str, bytes]], Path]


@pytest.fixture(params=["memory", "s3"])
def store(request: pytest.FixtureRequest) -> Url:
    """An empty folder of a store."""
    base = request.getfixturevalue("s3_bucket") if request.param == "s3" else f"memory://{secrets.token_hex(6)}"
    return _at(f"{base}/data")


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Url:
    """An empty folder in memory, and an empty cache."""
    monkeypatch.setenv("PURIFY_CACHE", str(tmp_path / "cache"))
    return _at(f"memory://{secrets.token_hex(6)}/data")


@pytest.fixture
def config() -> IngestConfig:
    return IngestConfig(workers=2)


def _at(text: str) -> Url:
    place = to_location(text)
    assert isinstance(place, Url)
    return place


def _put(folder: Url, files: Mapping[str, bytes]) -> Url:
    for name, content in files.items():
        system, path = fsspec.core.url_to_fs(str(folder))
        system.pipe_file(f"{path}/{name}", content)
    return folder


def _tar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _without_uri(table: pa.Table) -> pa.Table:
    return table.drop_columns("uri")


@pytest.fixture
def files(encode: Encode) -> dict[str, bytes]:
    return {
        "set/B b/2.png": encode(20, 30, seed=1),
        "set/B b/100% #1+é?.png": encode(40, 40, "JPEG", seed=2),
        "set/A/zero.png": b"",
        "set/A/page.png": b"<html>",
        "set/A/small.png": encode(4, 4),
        "set/A/.hidden": b"x",
        "set/__MACOSX/x.png": b"x",
    }


def test_a_folder_gives_the_same_rows_as_a_local_one(
    store: Url, tmp_path: Path, write_tree: Write, files: dict[str, bytes], config: IngestConfig
) -> None:
    local = ingest(write_tree(tmp_path / "data", files), [], config)
    table = ingest(_put(store, files), [], config)
    assert _without_uri(table).equals(_without_uri(local))
    assert len(table) == 5
    assert all(uri.startswith(f"{store}/set/") for uri in table["uri"].to_pylist())


def test_a_tar_gives_the_same_rows_as_a_local_one(
    store: Url, tmp_path: Path, write_tar: Write, files: dict[str, bytes], config: IngestConfig
) -> None:
    local = ingest(write_tar(tmp_path / "set.tar", files), [], config)
    table = ingest(_put(store, {"set.tar": _tar(files)}) / "set.tar", [], config)
    assert _without_uri(table).equals(_without_uri(local))
    assert table["uri"].to_pylist() == [
        uri.replace(file_uri(tmp_path / "set.tar"), f"{store}/set.tar") for uri in local["uri"].to_pylist()
    ]


def test_a_table_finds_its_images_in_roots_on_stores_and_here(
    store: Url, tmp_path: Path, write_tree: Write, encode: Encode, config: IngestConfig
) -> None:
    pictures = {f"p/{i}.png": encode(seed=i) for i in range(4)}
    text = f"path,label\np/0.png,a\np/1.png,a\n{store}/images/p/2.png,b\np/3.png,b\np/4.png,b\n"
    _put(store, {"t.csv": text.encode(), "images/p/0.png": pictures["p/0.png"], "images/p/2.png": pictures["p/2.png"]})
    _put(store, {"set.tar": _tar({"p/1.png": pictures["p/1.png"]})})
    here = write_tree(tmp_path / "here", {"p/3.png": pictures["p/3.png"]})
    roots: list[Location] = [store / "images", store / "set.tar", here]
    table = ingest(store / "t.csv", roots, config)
    assert table["status"].to_pylist() == ["ok"] * 4 + ["unreadable"]
    assert table["uri"].to_pylist()[:4] == [
        f"{store}/images/p/0.png",
        f"tar://p/1.png::{store}/set.tar",
        f"{store}/images/p/2.png",
        file_uri(here / "p/3.png"),
    ]


def test_a_table_without_roots_means_its_own_folder(memory: Url, encode: Encode, config: IngestConfig) -> None:
    _put(memory, {"t.csv": b"path,label\na.png,x\n", "a.png": encode()})
    assert ingest(memory / "t.csv", [], config)["uri"].to_pylist() == [f"{memory}/a.png"]


def test_many_threads_read_at_once(store: Url) -> None:
    contents = {f"p{i % 3}/{i}.bin": bytes([i]) * (100 + i) for i in range(40)}
    archive = _put(store, {"set.tar": _tar(contents), **contents}) / "set.tar"
    uris = [uri for name in contents for uri in (tar_uri(name, archive), file_uri(store / name))]
    for _ in ("from the store", "from the cache"):
        with ImageByteReader() as reader, ThreadPoolExecutor(8) as pool:
            assert list(pool.map(reader.read, uris)) == [content for content in contents.values() for _ in range(2)]


def test_an_image_is_fetched_once_and_again_when_it_changed(
    memory: Url, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []
    read_range = remote.read_range

    def counting(url: Url, offset: int, size: int) -> bytes:
        fetched.append(url.name)
        return read_range(url, offset, size)

    monkeypatch.setattr(remote, "read_range", counting)
    _put(memory, {"a.bin": b"first", "set.tar": _tar({"m": b"member"})})
    uris = [file_uri(memory / "a.bin"), tar_uri("m", memory / "set.tar")]

    def read_all() -> list[bytes]:
        with ImageByteReader() as reader:
            return [reader.read(uri) for uri in uris]

    assert read_all() == read_all() == [b"first", b"member"]
    assert fetched == ["a.bin", "set.tar"]
    _put(memory, {"a.bin": b"other", "set.tar": _tar({"m": b"another"})})
    assert read_all() == [b"other", b"another"]
    (Path(os.environ["PURIFY_CACHE"]) / "images").rename(tmp_path / "gone")
    (Path(os.environ["PURIFY_CACHE"]) / "images").write_text("in the way")
    with pytest.raises(PurifyError, match="PURIFY_CACHE_IMAGES=0"):
        read_all()
    fetched.pop()
    monkeypatch.setenv("PURIFY_CACHE_IMAGES", "0")
    assert read_all() == [b"other", b"another"]
    assert fetched == ["a.bin", "set.tar"] * 3


def test_the_index_of_a_tar_is_kept_until_the_tar_changes(memory: Url, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = _put(memory, {"set.tar": _tar({"caf\udce9/1": b"x", "b": b"yy"})}) / "set.tar"
    index = index_tar(archive)
    archives._remote_index.cache_clear()  # as in another process
    with monkeypatch.context() as patch:
        patch.setattr(remote, "reading", lambda url: pytest.fail(f"{url} is read again"))
        again = index_tar(archive)
    assert (dict(again.members), dict(again.refused)) == (dict(index.members), dict(index.refused))
    (kept,) = (tmp for tmp in remote.cache_folder().rglob("*.parquet"))
    kept.write_bytes(b"damaged")
    archives._remote_index.cache_clear()
    assert dict(index_tar(archive).members) == dict(index.members)
    _put(memory, {"set.tar": _tar({"c": b"zzz"})})
    assert list(index_tar(archive).members) == ["c"]


def test_damaged_archives_are_refused_by_their_url(memory: Url) -> None:
    _put(
        memory,
        {"set.tar": b"rubbish" * 200, "set.tar.gz": b"\x1f\x8b" + b"x" * 600, "cut.tar": _tar({"a": b"x" * 900})[:700]},
    )
    with pytest.raises(InputError, match=rf"{memory}/set\.tar: not a tar archive"):
        index_tar(memory / "set.tar")
    with pytest.raises(InputError, match=r"set\.tar\.gz: compressed"):
        index_tar(memory / "set.tar.gz")
    with pytest.raises(InputError, match=r"cut\.tar: .*damaged"):
        index_tar(memory / "cut.tar")


def test_images_that_are_no_images(store: Url, monkeypatch: pytest.MonkeyPatch) -> None:
    _put(store, {"empty": b"", "huge": b"x" * 100})
    monkeypatch.setattr(blobs, "MAX_BYTES", 50)
    with ImageByteReader() as reader:
        assert reader.read(file_uri(store / "empty")) == b""
        with pytest.raises(OSError, match="51 bytes"):
            reader.read(file_uri(store / "huge"))
        with pytest.raises(FileNotFoundError):
            reader.read(file_uri(store / "gone"))


def test_a_store_that_fails_is_not_the_fault_of_an_image(
    memory: Url, encode: Encode, config: IngestConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    _put(memory, {"a/1.png": encode(), "a/2.png": encode()})
    for error, kind in ((PermissionError("denied"), InputError), (TimeoutError("late"), PurifyError)):

        def failing(*_: object, error: OSError = error, **__: object) -> bytes:
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(fsspec.get_filesystem_class("memory"), "cat_file", failing)
            with pytest.raises(kind, match=f"{memory}/a/1.png: "):
                ingest(memory, [], config)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("s3://", "names no bucket"),
        ("xyz://a/b", "not a store known to fsspec"),
        ("tar://a::s3://b/c.tar", "chained"),
        ("memory://nowhere/x", "no such file, folder or bucket"),
    ],
)
def test_urls_that_cannot_be(text: str, words: str, config: IngestConfig) -> None:
    with pytest.raises(InputError, match=words) as caught:
        ingest(to_location(text), [], config)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "s3://MYNAME:MYSECRET@bucket/a",
        "https://host/a.tar?Signature=MYSECRET",
        "S3://MYNAME:MYSECRET@bucket",
        " s3://MYNAME:MYSECRET@bucket",
        "simplecache::s3://MYNAME:MYSE/CRET@bucket",
        "s3://MYNAME:12345/MYSECRET@bucket",
        "https://MYSECRET@host/a.tar",
    ],
)
def test_credentials_in_a_url_are_refused_and_not_shown(text: str) -> None:
    with pytest.raises(InputError, match=r"stored in clear|credentials") as caught:
        to_location(text)
    assert "MYSECRET" not in str(caught.value)
    assert "MYNAME" not in str(caught.value)


def test_file_urls_are_local_paths(tmp_path: Path) -> None:
    assert to_location(f"file://{tmp_path}/a b") == tmp_path / "a b"
    assert to_location("a/b.csv") == Path("a/b.csv")


@pytest.mark.parametrize("name", ["a//1.png", "a/../1.png"])
def test_keys_that_are_no_paths_are_refused(s3_bucket: str, name: str, config: IngestConfig) -> None:
    _put(_at(s3_bucket), {name: b"x"})
    with pytest.raises(InputError, match="rename it"):
        ingest(_at(s3_bucket), [], config)


def test_markers_of_empty_folders_are_no_images(s3_bucket: str, encode: Encode, config: IngestConfig) -> None:
    _put(_at(s3_bucket), {"set/": b"", "set/a/": b"", "set/a/1.png": encode()})
    assert ingest(_at(f"{s3_bucket}/set/"), [], config)["sample_id"].to_pylist() == ["a/1.png"]


def test_a_copy_of_a_file_follows_the_original(memory: Url) -> None:
    _put(memory, {"t.csv": b"path,label\n1.png,a\n"})
    assert load_manifest(memory / "t.csv")["label"].to_pylist() == ["a"]
    copied = local_file(memory / "t.csv").stat().st_mtime_ns
    assert local_file(memory / "t.csv").stat().st_mtime_ns == copied
    _put(memory, {"t.csv": b"path,label\n1.png,\n"})
    with pytest.raises(InputError, match=rf"^{memory}/t\.csv: row 1: the label is empty"):
        load_manifest(memory / "t.csv")


def test_a_url_outside_the_roots_is_refused(memory: Url) -> None:
    _put(memory, {"in/a.png": b"x", "out/a.png": b"x"})
    roots = ImageRoots([memory / "in"])
    assert roots.resolve(f"{memory}/in/a.png") == f"{memory}/in/a.png"
    for path in (f"{memory}/out/a.png", f"{memory}/in/../out/a.png"):
        with pytest.raises(InputError, match=r"outside the image roots|leaves the image root"):
            roots.resolve(path)
