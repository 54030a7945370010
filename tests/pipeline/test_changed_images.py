"""What is embedded, learned and judged is what was ingested."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from purify.embedding.store import EmbeddingWriter
from purify.errors import InputError
from purify.images.loading import ImageLoader
from purify.storage.files import read_table, sha256_file
from purify.storage.locations import file_uri
from purify.tables.schema import MANIFEST
from tests.small_run import draw_source, update


def test_folders_that_swap_places_are_read_again(tmp_path: Path) -> None:
    source = draw_source(tmp_path, people=4, images=6)
    files = sorted(source.rglob("*.png"))
    size = max(path.stat().st_size for path in files)
    for path in files:  # as after unpacking: equal sizes and times
        path.write_bytes(path.read_bytes().ljust(size, b"\0"))
        os.utime(path, ns=(10**18, 10**18))
    run = update(tmp_path)
    shutil.move(source / "p0", tmp_path / "p")
    shutil.move(source / "p1", source / "p0")
    shutil.move(tmp_path / "p", source / "p1")
    update(tmp_path)
    manifest = read_table(run.manifest, MANIFEST).to_pylist()
    assert [row["sha256"] for row in manifest] == [sha256_file(path) for path in files]
    assert run.read_info()["growth"]["changed"] == 12


def test_an_image_replaced_after_ingest_is_named_and_not_decoded(tmp_path: Path) -> None:
    paths = sorted(draw_source(tmp_path, people=1, images=3).rglob("*.png"))
    hashes = [sha256_file(path) for path in paths]
    shutil.copyfile(paths[0], paths[2])
    with ImageLoader([path.name for path in paths], [file_uri(path) for path in paths], size=32) as loader:
        assert len(next(loader.batches([np.arange(3)]))[1]) == 3
    names, uris = [path.name for path in paths], [file_uri(path) for path in paths]
    with ImageLoader(names, uris, size=32, contents=hashes) as loader:
        assert len(next(loader.batches([np.arange(2)]))[1]) == 2
        with pytest.raises(InputError, match=r"2\.png: another image than at ingest .*ingest the source again"):
            next(loader.batches([np.arange(3)]))
    with ImageLoader(names, uris, size=32, contents=[*hashes[:2], None]) as loader:
        assert len(next(loader.batches([np.arange(3)]))[1]) == 3


def test_the_writer_of_embeddings_keeps_checksums(tmp_path: Path) -> None:
    path = tmp_path / "e.parquet"
    with EmbeddingWriter(path, 64) as writer:
        writer.write([str(n) for n in range(100)], np.random.default_rng(0).normal(size=(100, 64)).astype(np.float32))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    from purify.embedding.store import read_embeddings

    with pytest.raises(InputError, match=r"e\.parquet: damaged Parquet file"):
        read_embeddings(path, [str(n) for n in range(100)])
