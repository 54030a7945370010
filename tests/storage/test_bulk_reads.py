"""Many images read at once are those read one by one, in any order, whole or not."""

from __future__ import annotations

import base64
import io
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from purify.errors import InputError
from purify.storage.image_bytes import ImageByteReader
from purify.storage.locations import container_uri, file_uri, keys_in_one, tar_uri
from purify.storage.parquet_container import row_key
from purify.storage.rec_container import rec_key
from purify.storage.recordio import MAGIC, ImageRecord, frame, pack_image
from purify.storage.tsv_container import text_key

SIZES = (1, 700, 3, 20_000, 70_000, 5, 1_500_000, 0, 40, 16_385, 64)


def contents() -> list[bytes]:
    random = np.random.default_rng(5)
    return [*(random.bytes(size) for size in SIZES), MAGIC * 9, b"a" * 17]


def in_tar(folder: Path) -> list[str]:
    with tarfile.open(folder / "set.tar", "w") as archive:
        for number, content in enumerate(contents()):
            member = tarfile.TarInfo(f"á 100%/{number}.jpg")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return [tar_uri(f"á 100%/{number}.jpg", folder / "set.tar") for number in range(len(contents()))]


def in_rec(folder: Path) -> list[str]:
    records = [frame(pack_image(ImageRecord((1.0,), number, data))) for number, data in enumerate(contents())]
    (folder / "set.rec").write_bytes(b"".join(records))
    starts = np.cumsum([0, *map(len, records)])[:-1].tolist()
    return [container_uri("rec", rec_key(number, start), folder / "set.rec") for number, start in enumerate(starts)]


def in_tsv(folder: Path) -> list[str]:
    texts = [base64.b64encode(content) for content in contents()]
    (folder / "set.tsv").write_bytes(b"".join(b"p\t" + text + b"\n" for text in texts))
    starts = np.cumsum([2, *(len(text) + 3 for text in texts)])[:-1].tolist()
    keys = [text_key(start, len(text)) for start, text in zip(starts, texts, strict=True)]
    return [container_uri("tsv", key, folder / "set.tsv") for key in keys]


def in_parquet(folder: Path) -> list[str]:
    pq.write_table(pa.table({"image": contents()}), folder / "set.parquet")
    return [container_uri("parquet", row_key("image", row), folder / "set.parquet") for row in range(len(contents()))]


def in_folder(folder: Path) -> list[str]:
    for number, content in enumerate(contents()):
        (folder / f"{number}.jpg").write_bytes(content)
    return [file_uri(folder / f"{number}.jpg") for number in range(len(contents()))]


@pytest.mark.parametrize("write", [in_tar, in_rec, in_tsv, in_parquet, in_folder])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.integers(0, len(SIZES) + 1), max_size=30), ordered=st.booleans())
def test_images_read_at_once_are_those_read_alone(
    tmp_path: Path, write: Callable[[Path], list[str]], rows: list[int], ordered: bool
) -> None:
    uris, wanted = write(tmp_path), contents()
    rows = sorted(set(rows)) if ordered else rows
    chosen = [uris[row] for row in rows]
    with ImageByteReader() as reader:
        assert list(reader.read_many(chosen)) == [wanted[row] for row in rows]
        elsewhere = reader.for_another_process(chosen)
        assert elsewhere is not None
        with ImageByteReader() as other:
            assert list(other.read_many(elsewhere)) == [wanted[row] for row in rows]
        assert reader.stamps(chosen) == [reader.stamp(uri) for uri in chosen]


@pytest.mark.parametrize(("write", "name"), [(in_tar, "set.tar"), (in_rec, "set.rec"), (in_tsv, "set.tsv")])
def test_of_a_file_cut_off_meanwhile_the_whole_images_are_read(
    tmp_path: Path, write: Callable[[Path], list[str]], name: str
) -> None:
    uris, wanted = write(tmp_path), contents()
    with ImageByteReader() as reader:
        assert next(reader.read_many(uris[:1])) == wanted[0]
        path = tmp_path / name
        with path.open("rb+") as file:
            file.truncate(30_000)
        read = list(reader.read_many(uris))
    assert read[:4] == wanted[:4]
    assert [type(one) for one in read[4:7]] == [OSError] * 3


def test_a_missing_file_is_an_error_in_its_place_and_a_missing_key_one_of_all(tmp_path: Path) -> None:
    uris = in_tar(tmp_path)
    (tmp_path / "1.jpg").write_bytes(b"1")
    with ImageByteReader() as reader:
        first, second = reader.read_many([file_uri(tmp_path / "0.jpg"), file_uri(tmp_path / "1.jpg")])
        assert isinstance(first, FileNotFoundError)
        assert second == b"1"
        with pytest.raises(InputError, match="holds no file other"):
            list(reader.read_many([uris[0], tar_uri("other", tmp_path / "set.tar")]))


@pytest.mark.parametrize(
    "uris",
    [
        ["file:///1.jpg", "file:///2.jpg"],
        ["tar://1::file:///a.tar", "tar://1::file:///b.tar"],
        ["tar://1::file:///a.tar", "rec://1::file:///a.tar"],
        ["tar://1::file:///a.tar", "file:///a.tar"],
    ],
)
def test_images_of_several_places_are_not_in_one_container(uris: Sequence[str]) -> None:
    assert keys_in_one(uris) is None
