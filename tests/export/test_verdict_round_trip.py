"""A set that goes through every container is judged as before, image by image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from purify.arrays import Vectors
from purify.config import IngestConfig, PurifyConfig
from purify.embedding.store import EmbeddingWriter
from purify.export.export_job import ShardLimits
from purify.export.export_table import ExportRequest, export_table
from purify.ingest.ingest import ingest
from purify.pipeline.manifest_analysis import analyze_manifest
from tests.export.conftest import WriteTree

DIM = 24
JUDGED = ("label", "decision", "new_label", "reason", "p_clean", "angle", "neighbor_agreement")


def judged(manifest: pa.Table, vectors: Mapping[str, Vectors], folder: Path) -> dict[str, tuple[object, ...]]:
    """The verdict on each image by the digest of its bytes; it names its evidence by digest, too."""
    ids, digests = manifest["sample_id"].to_pylist(), manifest["sha256"].to_pylist()
    with EmbeddingWriter(folder / "embeddings.parquet", DIM) as writer:
        writer.write(ids, np.stack([vectors[digest] for digest in digests]), digests)
    verdicts = analyze_manifest(manifest, folder / "embeddings.parquet", PurifyConfig()).verdicts
    digest_of = dict(zip(ids, digests, strict=True))
    return {
        digest_of[row["sample_id"]]: (
            *(row[name] for name in JUDGED),
            tuple(digest_of[name] for name in row["evidence_ids"] or ()),
        )
        for row in verdicts.to_pylist()
    }


def test_verdicts_are_the_same_in_every_form(write_tree: WriteTree, tmp_path: Path, encode: object) -> None:
    rng = np.random.default_rng(1)
    people = rng.normal(size=(12, DIM))
    truth = np.repeat(np.arange(12), 9)
    given = truth.copy()
    wrong = rng.choice(len(truth), 10, replace=False)
    given[wrong] = (given[wrong] + rng.integers(1, 12, len(wrong))) % 12
    images = {f"Person {label:x}/{row:03d}.png": encode(16, 16, seed=row) for row, label in enumerate(given)}  # type: ignore[operator]
    table = ingest(write_tree(tmp_path / "source", images), [], IngestConfig())
    noise = 0.35 * rng.normal(size=(len(truth), DIM))
    vectors = {
        digest: (people[truth[int(name[-7:-4])]] + noise[int(name[-7:-4])]).astype(np.float32)
        for name, digest in zip(table["sample_id"].to_pylist(), table["sha256"].to_pylist(), strict=True)
    }
    expected = judged(table, vectors, tmp_path)
    assert {verdict[1] for verdict in expected.values()} > {"keep"}
    path = tmp_path / "manifest.parquet"
    pq.write_table(table, path)
    for form in ("rec", "webdataset", "parquet", "folder"):
        export_table(ExportRequest(path, form, tmp_path / form, limits=ShardLimits(images=40)))
        table = ingest(tmp_path / form, [], IngestConfig())
        path = tmp_path / f"{form}.parquet"
        pq.write_table(table, path)
        assert judged(table, vectors, tmp_path) == expected, form
