"""The real sets: a noisy table against two archives."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from purify.config import IngestConfig
from purify.images.decoding import decode_rgb
from purify.ingest.image_roots import ImageRoots
from purify.ingest.ingest import ingest
from purify.storage.files import write_table
from purify.storage.image_bytes import ImageByteReader
from purify.storage.tar_index import index_tar
from purify.tables.manifest import load_manifest


def test_a_noisy_table_against_two_archives(faces: Path, tmp_path: Path) -> None:
    table = pq.read_table(faces / "noisy" / "light.parquet").slice(0, 200)
    write_table(table, tmp_path / "light.parquet")
    manifest = ingest(
        tmp_path / "light.parquet", [faces / "lfw112.tar", faces / "celebs112.tar"], IngestConfig(workers=1)
    )
    assert manifest["sample_id"].to_pylist() == table["path"].to_pylist()
    assert manifest["label"].to_pylist() == table["label"].to_pylist()
    assert manifest["true_label"].to_pylist() == table["true_label"].to_pylist()
    assert set(manifest["status"].to_pylist()) == {"ok"}
    assert set(manifest["width"].to_pylist()) == {112}
    with ImageByteReader() as reader:
        pixels = decode_rgb(reader.read(manifest["uri"][0].as_py()), 48)
    assert pixels.std() > 10


def test_a_whole_scenario_loads(faces: Path) -> None:
    manifest = load_manifest(faces / "noisy" / "open40.parquet")
    assert len(manifest) == 10_846
    assert manifest["true_label"].to_pylist().count("") == 4_338


def test_an_archive_of_thousands_is_listed_with_its_people(faces: Path) -> None:
    assert len(index_tar(faces / "lfw112.tar").members) == 13_233
    roots = ImageRoots([faces / "lfw112.tar", faces / "celebs112.tar"])
    names = list(roots.names())
    assert len(names) == 13_233 + 6_199
    assert roots.resolve("lfw112/AJ_Cook/AJ_Cook_0001.jpg") is not None


def test_an_archive_with_a_top_folder_is_a_source(faces: Path) -> None:
    manifest = ingest(faces / "lfw_raw_sample.tar", [], IngestConfig(workers=1))
    assert len(manifest) == 168
    assert manifest["sample_id"][0].as_py() == "lfw/AJ_Lamas/AJ_Lamas_0001.jpg"
    assert manifest["label"][0].as_py() == "AJ_Lamas"
    assert set(manifest["width"].to_pylist()) == {250}
