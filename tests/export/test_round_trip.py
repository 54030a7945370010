"""From a folder through every container and back: the same bytes under the same labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow.parquet as pq

from purify.config import IngestConfig
from purify.export.export_job import ShardLimits
from purify.export.export_table import ExportRequest, export_table
from purify.ingest.ingest import ingest
from tests.export.conftest import tree


def test_folder_rec_webdataset_parquet_folder(manifest: Path, pictures: Mapping[str, bytes], tmp_path: Path) -> None:
    facts = sorted((data, name.split("/")[0]) for name, data in pictures.items())
    table = manifest
    for form in ("rec", "webdataset", "parquet", "folder"):
        export_table(ExportRequest(table, form, tmp_path / form, limits=ShardLimits(images=5)))
        found = ingest(tmp_path / form, [], IngestConfig())
        assert len(set(found["sample_id"].to_pylist())) == len(pictures), form
        assert set(found["split"].to_pylist()) == {None}
        table = tmp_path / f"{form}.parquet"
        pq.write_table(found, table)
    written = tree(tmp_path / "folder")
    assert sorted((data, name.split("/")[0]) for name, data in written.items() if "/" in name) == facts
