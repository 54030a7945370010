from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pytest

from purify.errors import InputError
from purify.storage import unpacked as module
from purify.storage.image_bytes import ImageByteReader
from purify.storage.locations import tar_uri
from purify.storage.remote import cache_folder
from purify.storage.tar_index import index_tar
from purify.storage.unpacked import unpacked

WriteTar = Callable[[Path, Mapping[str, bytes]], Path]


def _zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return bytes(sink.getvalue())


PACK = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": _zstd}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PURIFY_CACHE", str(tmp_path / "cache"))
    module._unpacked.cache_clear()


@pytest.mark.parametrize("suffix", PACK)
def test_a_packed_tar_is_read_from_its_copy(tmp_path: Path, write_tar: WriteTar, suffix: str) -> None:
    plain = write_tar(tmp_path / "set.tar", {"a/1": b"x" * 5000, "a/2": b"y"})
    packed = tmp_path / f"set.tar.{suffix}"
    halves = plain.read_bytes()[:3000], plain.read_bytes()[3000:]
    packed.write_bytes(b"".join(map(PACK[suffix], halves)))  # several streams in a file, as parallel packers write
    assert list(index_tar(packed).members) == ["a/1", "a/2"]
    with ImageByteReader() as reader:
        assert reader.read(tar_uri("a/1", packed)) == b"x" * 5000
    shutil.rmtree(cache_folder())
    module._unpacked.cache_clear()
    with ImageByteReader() as reader:  # the copy is made again
        assert reader.read(tar_uri("a/2", packed)) == b"y"


def test_copies_are_keyed_by_content(tmp_path: Path, write_tar: WriteTar) -> None:
    content = gzip.compress(write_tar(tmp_path / "set.tar", {"a/1": b"x"}).read_bytes())
    for name in ("one.tar.gz", "two.tgz"):
        (tmp_path / name).write_bytes(content)
    assert unpacked(tmp_path / "one.tar.gz") == unpacked(tmp_path / "two.tgz")
    assert unpacked(tmp_path / "set.tar") == tmp_path / "set.tar"


@pytest.mark.parametrize("suffix", PACK)
def test_a_packed_file_that_is_cut_off_is_refused_and_leaves_no_copy(
    tmp_path: Path, write_tar: WriteTar, suffix: str
) -> None:
    content = PACK[suffix](write_tar(tmp_path / "set.tar", {"a/1": bytes(range(256)) * 90}).read_bytes())
    path = tmp_path / f"cut.tar.{suffix}"
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"cut\.tar\.\w+: (damaged|not a tar)"):
        index_tar(path)
    if suffix != "zst":
        assert not list((tmp_path / "cache" / "unpacked").glob("*.tar"))
