"""Ingesting a source again: only what is new or changed is read, and the manifest is that of a first ingest."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purify.config import IngestConfig
from purify.ingest import inspection
from purify.ingest.ingest import Ingested, ingest, ingest_again
from purify.ingest.inspection import inspection_settings, load_inspections, save_inspections
from purify.storage.image_bytes import ImageByteReader
from purify.tables.schema import INSPECTIONS

Encode = Callable[..., bytes]
Write = Callable[[Path, Mapping[str, bytes]], Path]


@pytest.fixture(autouse=True, scope="module")
def _small_chunks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, rows in (("_CHUNK_ROWS", 3), ("_BLOCK_ROWS", 4), ("_ROWS_UNDER_WAY", 6)):
            patch.setattr(inspection, name, rows)
        yield


def _again(
    source: Path, config: IngestConfig, before: Ingested | None = None, images: tuple[Path, ...] = ()
) -> Ingested:
    known = None if before is None else before.inspections.lasting()
    result = ingest_again(source, images, config, known=known)
    assert result.manifest.equals(ingest(source, images, config))
    return result


def test_an_unchanged_folder_is_not_read_again(
    tmp_path: Path, write_tree: Write, encode: Encode, config: IngestConfig
) -> None:
    files = {f"{label}/{k}.png": encode(seed=k) for label in "AB" for k in range(3)} | {"A/bad.jpg": b"no picture"}
    source = write_tree(tmp_path / "set", files)
    first = _again(source, config)
    assert (first.inspections.read, first.inspections.decoded) == (7, 7)
    second = _again(source, config, first)
    assert (second.inspections.read, second.inspections.decoded) == (0, 0)
    assert second.inspections.lasting().equals(first.inspections.lasting())


def test_what_is_new_or_changed_is_read_and_what_is_gone_leaves(
    tmp_path: Path, write_tree: Write, encode: Encode, config: IngestConfig
) -> None:
    source = write_tree(tmp_path / "set", {f"A/{k}.png": encode(seed=k) for k in range(6)})
    first = _again(source, config)
    write_tree(source, {"A/2.png": encode(30, 20, seed=9), "A/25.png": encode(seed=10), "B/0.png": encode(seed=11)})
    (source / "A" / "4.png").unlink()
    second = _again(source, config, first)
    assert (second.inspections.read, second.inspections.decoded) == (3, 3)
    assert second.manifest["sample_id"].to_pylist() == [
        *("A/0.png", "A/1.png", "A/2.png", "A/25.png", "A/3.png", "A/5.png", "B/0.png")
    ]


def test_known_bytes_under_another_name_or_time_are_hashed_but_not_decoded(
    tmp_path: Path, write_tree: Write, encode: Encode, config: IngestConfig
) -> None:
    source = write_tree(tmp_path / "set", {f"A/{k}.png": encode(seed=k) for k in range(3)} | {"A/bad.jpg": b"none"})
    first = _again(source, config)
    os.utime(source / "A" / "0.png", ns=(1, 1))
    (source / "A" / "1.png").rename(source / "A" / "moved.png")
    write_tree(source, {"A/worse.jpg": b"none"})
    second = _again(source, config, first)
    assert (second.inspections.read, second.inspections.decoded) == (3, 0)


def test_a_file_of_the_same_size_written_at_once_is_seen(
    tmp_path: Path, write_tree: Write, config: IngestConfig, encode: Encode
) -> None:
    """BMPs of one size have one length: only their times tell that they changed."""
    source = write_tree(tmp_path / "set", {"A/1.bmp": encode(file_format="BMP"), "A/2.bmp": encode(file_format="BMP")})
    result = _again(source, config)
    for seed in range(1, 6):
        write_tree(source, {"A/1.bmp": encode(file_format="BMP", seed=seed)})
        result = _again(source, config, result)
        assert (result.inspections.read, result.inspections.decoded) == (1, 1)


def test_a_tar_that_changed_is_hashed_again_and_only_new_images_are_decoded(
    tmp_path: Path, write_tar: Write, encode: Encode, config: IngestConfig
) -> None:
    files = {f"A/{k}.bmp": encode(file_format="BMP", seed=k) for k in range(4)}
    source = write_tar(tmp_path / "set.tar", files)
    first = _again(source, config)
    assert _again(source, config, first).inspections.read == 0
    swapped = {"A/0.bmp": encode(file_format="BMP", seed=7), "A/1.bmp": files["A/2.bmp"], "A/2.bmp": files["A/1.bmp"]}
    write_tar(source, files | swapped | {"B/new.bmp": encode(file_format="BMP", seed=8)})
    second = _again(source, config, first)
    assert (second.inspections.read, second.inspections.decoded) == (5, 2)


def test_a_table_that_changed(tmp_path: Path, write_tree: Write, encode: Encode, config: IngestConfig) -> None:
    images = write_tree(tmp_path / "images", {f"{k}.png": encode(seed=k) for k in range(4)})
    table = tmp_path / "table.csv"
    table.write_text("path,label\n1.png,A\n0.png,A\nmissing.png,B\n")
    first = _again(table, config, images=(images,))
    table.write_text("path,label\n3.png,B\n0.png,B\nmissing.png,B\n2.png,A\n")
    second = _again(table, config, first, images=(images,))
    assert second.inspections.read == 2
    assert second.manifest["status"].to_pylist() == ["ok", "ok", "unreadable", "ok"]
    write_tree(images, {"missing.png": encode(seed=5)})
    assert _again(table, config, second, images=(images,)).inspections.read == 1


def test_rows_that_share_an_image(tmp_path: Path, write_tree: Write, encode: Encode, config: IngestConfig) -> None:
    images = write_tree(tmp_path / "images", {"x.png": encode()})
    table = tmp_path / "table.csv"
    table.write_text("sample_id,path,label\na,x.png,A\nb,x.png,B\n")
    first = _again(table, config, images=(images,))
    assert len(first.inspections.lasting()) == 1
    assert _again(table, config, first, images=(images,)).inspections.read == 0


def test_a_file_that_could_not_be_read_is_tried_again(
    tmp_path: Path, write_tree: Write, encode: Encode, config: IngestConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_tree(tmp_path / "set", {"A/0.png": encode(), "A/1.png": encode(seed=1)})
    plain = ImageByteReader.read

    def failing(self: ImageByteReader, uri: str) -> bytes:
        if uri.endswith("0.png"):
            raise PermissionError(errno.EACCES, "no")
        return plain(self, uri)

    with monkeypatch.context() as patch:
        patch.setattr(ImageByteReader, "read", failing)
        first = _again(source, config)
    assert first.manifest["status_reason"].to_pylist() == ["permission_denied", None]
    second = _again(source, config, first)
    assert second.inspections.read == 1
    assert second.manifest["status"].to_pylist() == ["ok", "ok"]


FILES = st.dictionaries(st.sampled_from(["A/0", "A/1", "B/0", "B/1", "C/0"]), st.integers(0, 3), min_size=1)


@settings(max_examples=40, deadline=None)
@given(states=st.lists(FILES, min_size=2, max_size=4))
def test_any_history_ends_in_the_manifest_of_a_first_ingest(
    states: list[dict[str, int]], tmp_path_factory: pytest.TempPathFactory, encode: Encode
) -> None:
    source = tmp_path_factory.mktemp("history")
    known = INSPECTIONS.empty_table()
    config = IngestConfig(workers=1)
    for state in states:
        for old in source.rglob("*.bmp"):
            if old.relative_to(source).with_suffix("").as_posix() not in state:
                old.unlink()
        for name, seed in state.items():
            path = source / f"{name}.bmp"
            path.parent.mkdir(exist_ok=True)
            content = encode(file_format="BMP", seed=seed)
            if not path.exists() or path.read_bytes() != content:
                path.write_bytes(content)
        result = ingest_again(source, [], config, known=known)
        assert result.manifest.equals(ingest(source, [], config))
        known = result.inspections.lasting()


def _made_with(config: IngestConfig) -> str:
    return json.dumps(inspection_settings(config))


def test_saved_inspections_hold_for_the_same_limits_only(
    tmp_path: Path, write_tree: Write, encode: Encode, config: IngestConfig
) -> None:
    source = write_tree(tmp_path / "set", {"A/0.png": encode(), "A/1.png": encode(40, 40)})
    path, made_with = tmp_path / "readings.parquet", _made_with(config)
    assert len(load_inspections(path, made_with)) == 0
    first = ingest_again(source, [], config, known=None)
    save_inspections(path, first.inspections.lasting(), made_with)
    saved = path.read_bytes()
    assert load_inspections(path, made_with).equals(first.inspections.lasting())
    assert len(load_inspections(path, _made_with(config.model_copy(update={"workers": 7})))) == 2
    assert len(load_inspections(path, f"{made_with} by another version")) == 0
    stricter = config.model_copy(update={"min_size": 30})
    known = load_inspections(path, _made_with(stricter))
    assert len(known) == 0
    manifest = ingest_again(source, [], stricter, known=known).manifest
    assert manifest["status"].to_pylist() == ["too_small", "ok"]
    path.write_bytes(saved[: len(saved) // 2])
    assert load_inspections(path, made_with).equals(pa.table(INSPECTIONS.empty_table()))
