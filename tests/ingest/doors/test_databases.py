"""LMDB databases as sources."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from purify.config import IngestConfig
from purify.errors import InputError
from purify.ingest.ingest import ingest
from purify.storage.image_bytes import ImageByteReader
from purify.storage.lmdb_container import LmdbImages, split_value
from purify.storage.message_pack import unpack_pair

lmdb = pytest.importorskip("lmdb", reason="lmdb is not installed (extra lmdb)")
msgpack = pytest.importorskip("msgpack", reason="msgpack, which Dask brings, is not installed (extra dev)")

Encode = Callable[..., bytes]


def write_database(path: Path, content: Mapping[str, bytes], *, folder: bool = True) -> Path:
    with lmdb.open(str(path), subdir=folder, map_size=1 << 24) as database, database.begin(write=True) as transaction:
        for key, value in content.items():
            transaction.put(key.encode(), value)
    return path


def rows_of(manifest: pa.Table, *names: str) -> list[tuple]:
    return list(zip(*(manifest[name].to_pylist() for name in names), strict=True))


def contents(manifest: pa.Table) -> list[bytes]:
    with ImageByteReader() as reader:
        return [reader.read(uri) for uri in manifest["uri"].to_pylist()]


@pytest.fixture
def images(encode: Encode) -> list[bytes]:
    return [encode(seed=seed) for seed in range(4)]


@pytest.mark.parametrize("folder", [True, False])
def test_keys_with_a_folder(tmp_path: Path, images: list[bytes], config: IngestConfig, folder: bool) -> None:
    content = {"x/Ann B/1.jpg": images[0], "x/Ann B/é.jpg": images[1], "x/Bob/1.jpg": images[2], "__len__": b"3"}
    manifest = ingest(write_database(tmp_path / "set.lmdb", content, folder=folder), [], config)
    assert rows_of(manifest, "sample_id", "label") == [
        ("set.lmdb#x/Ann B/1.jpg", "Ann B"),
        ("set.lmdb#x/Ann B/é.jpg", "Ann B"),
        ("set.lmdb#x/Bob/1.jpg", "Bob"),
    ]
    assert contents(manifest) == images[:3]


@pytest.mark.parametrize("pack", [msgpack.dumps, lambda pair: msgpack.dumps(pair, use_bin_type=False), pickle.dumps])
@pytest.mark.parametrize("label", [0, 3, 200, 70_000, "Ann é"])
def test_values_with_a_label(
    tmp_path: Path, images: list[bytes], config: IngestConfig, pack: Callable[[object], bytes], label: object
) -> None:
    """The forms of the field's scripts: MessagePack, as HSFace has it, and plain pickles."""
    content = {str(k): pack((image, label)) for k, image in enumerate(images)}
    content |= {"__keys__": pack([b"0"]), "__len__": pack(4), "__classnum__": pack(1)}
    manifest = ingest(write_database(tmp_path / "set.lmdb", content), [], config)
    assert rows_of(manifest, "sample_id", "label") == [(f"set.lmdb#{k}", str(label)) for k in range(4)]
    assert contents(manifest) == images


def test_labels_under_their_own_keys(tmp_path: Path, images: list[bytes], config: IngestConfig) -> None:
    content = {f"image-{k:09}": image for k, image in enumerate(images, start=1)}
    content |= {f"label-{k:09}": who.encode() for k, who in enumerate(["a", "b", "a"], start=1)} | {"num-samples": b"4"}
    manifest = ingest(write_database(tmp_path / "set", content), [], config)
    assert rows_of(manifest, "sample_id", "label", "status") == [
        ("set#image-000000001", "a", "ok"),
        ("set#image-000000002", "b", "ok"),
        ("set#image-000000003", "a", "ok"),
        ("set#image-000000004", "", "no_label"),
    ]


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("folder", [True, False])
def test_labels_in_a_list_beside(
    tmp_path: Path, images: list[bytes], config: IngestConfig, folder: bool, inside: bool
) -> None:
    path = write_database(tmp_path / "set.lmdb", {f"{k}.png": i for k, i in enumerate(images)}, folder=folder)
    with pytest.raises(InputError, match=r"no labels.*put key, tab and label of each into .*set\.txt"):
        ingest(path, [], config)
    beside = path / "labels.txt" if folder and inside else tmp_path / "set.txt"
    beside.write_text("3.png b\n0.png a\n2.png b\n1.png a\n")
    assert ingest(path, [], config)["label"].to_pylist() == ["a", "a", "b", "b"]


class Trap:
    """Running its pickle would leave a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def test_pickles_of_other_things_are_not_run(tmp_path: Path, images: list[bytes], config: IngestConfig) -> None:
    values: Iterable[object] = [(images[0], 1), Trap(tmp_path / "ran"), (images[1], Trap(tmp_path / "ran")), [1, 2, 3]]
    content = {f"a/{k}": pickle.dumps(value) for k, value in enumerate(values)} | {"a/4": b"\x80\x04damaged"}
    manifest = ingest(write_database(tmp_path / "set", content), [], config)
    assert manifest["status"].to_pylist() == ["ok"] + ["unreadable"] * 4
    assert "not read since it could run code" in manifest["status_reason"][1].as_py()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("cut", [0, 10, 4096, 5000, 30_000])
def test_cut_and_other_files(tmp_path: Path, images: list[bytes], config: IngestConfig, cut: int) -> None:
    path = write_database(tmp_path / "set", {f"a/{k}": 20 * image for k, image in enumerate(images)})
    file = path / "data.mdb"
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(InputError, match=r"get it anew|not an LMDB database"):
        ingest(path, [], config)


def test_a_damaged_page_ends_no_process_but_the_one_that_looks(
    tmp_path: Path, encode: Encode, config: IngestConfig
) -> None:
    """LMDB aborts on pages of another kind than expected."""
    path = write_database(tmp_path / "set", {f"a/{k:03}": encode(seed=k) for k in range(40)})
    content = bytearray((path / "data.mdb").read_bytes())
    root = next(page for page in range(2 * 4096, len(content), 4096) if content[page + 10] == 1)  # P_BRANCH
    content[root + 10] = 4  # P_OVERFLOW
    (path / "data.mdb").write_bytes(content)
    with pytest.raises(InputError, match=r"damaged"):
        ingest(path, [], config)


def test_a_database_is_open_once_for_all_readers(tmp_path: Path, images: list[bytes]) -> None:
    path = write_database(tmp_path / "set.lmdb", {"a": images[0]}, folder=False)
    first, second = LmdbImages(path), LmdbImages(path)
    first.close()
    assert second.read("a") == images[0]
    with pytest.raises(InputError, match="no key 'b'"):
        second.read("b")
    second.close()
    with lmdb.open(str(path), subdir=False, readonly=True, lock=False):
        pass  # the database is closed, or this would fail


TEXTS = st.text(st.characters(codec="utf-8"), max_size=300)


@given(st.binary(max_size=70_000), st.integers(-(2**63), 2**64 - 1) | TEXTS, st.booleans())
def test_pairs_in_messagepack_come_back(content: bytes, label: int | str, use_bin_type: bool) -> None:
    packed = msgpack.dumps((content, label), use_bin_type=use_bin_type)
    assert unpack_pair(packed) == (content, label)
    assert split_value(memoryview(packed)) == (content, str(label))


@given(st.binary(max_size=60))
def test_other_bytes_are_read_as_messagepack_reads_them_or_refused(data: bytes) -> None:
    packed = b"\x92" + data
    try:
        content, label = unpack_pair(packed)
    except ValueError:
        return
    plain = label.encode("utf-8", "surrogateescape") if isinstance(label, str) else label
    assert [content, plain] == msgpack.loads(packed, raw=True)
