"""Sub-centers for the judging of a manifest, from the head of a checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from purify.config import PurifyConfig
from purify.embedding.store import EmbeddingWriter
from purify.errors import CheckpointError
from purify.models.backbones import build_backbone
from purify.models.checkpoint import Checkpoint, save_checkpoint
from purify.models.heads import SubcenterHead
from purify.pipeline.manifest_analysis import analyze_manifest, read_judging_inputs
from purify.tables.schema import MANIFEST

DIM = 16


@pytest.fixture
def judged(tmp_path: Path) -> tuple[pa.Table, Path, Path]:
    """A manifest of the labels a to f, embeddings, and a checkpoint whose head lacks label b."""
    rng, labels = np.random.default_rng(0), [label for label in "abcdef" for _ in range(8)]
    ids = [f"{label}{k}" for k, label in enumerate(labels)]
    rows = [
        {"sample_id": name, "uri": f"file:///{name}", "label": label, "sha256": name, "status": "ok"}
        for name, label in zip(ids, labels, strict=True)
    ]
    people = np.repeat(rng.normal(size=(6, DIM)), 8, axis=0)
    vectors = (people + 0.2 * rng.normal(size=people.shape)).astype(np.float32)
    with EmbeddingWriter(tmp_path / "embeddings.parquet", DIM) as writer:
        writer.write(ids, vectors, ids)
    backbone = build_backbone("iresnet_small", embedding_dim=DIM, input_size=32)
    checkpoint = Checkpoint.of(
        backbone.eval(),
        SubcenterHead(6, DIM, subcenters=2),
        backbone_name="iresnet_small",
        input_size=32,
        labels=tuple("fedcaz"),
        extra={"images": 40},
    )
    save_checkpoint(tmp_path / "checkpoint", checkpoint)
    return pa.Table.from_pylist(rows, schema=MANIFEST), tmp_path / "embeddings.parquet", tmp_path / "checkpoint"


def test_the_mean_of_its_images_stands_in_for_a_label_that_a_round_removed(
    judged: tuple[pa.Table, Path, Path],
) -> None:
    manifest, embeddings, checkpoint = judged
    given = read_judging_inputs(manifest, embeddings, PurifyConfig(), checkpoint_folder=checkpoint, later_round=True)
    assert list(given.class_labels) == [*"fedca", "b"]
    assert given.space.subcenters.shape == (6, 2, DIM)
    assert given.space.learned is not None
    assert given.space.learned.tolist() == [True] * 5 + [False]
    own = np.asarray(given.embeddings)[[label == "b" for label in given.labels.to_pylist()]]
    mean = (own / np.linalg.norm(own, axis=1, keepdims=True)).mean(axis=0)
    np.testing.assert_allclose(given.space.subcenters[5], np.stack([mean, mean]), rtol=1e-5)
    analysis = analyze_manifest(manifest, embeddings, PurifyConfig(), checkpoint_folder=checkpoint, later_round=True)
    assert len(analysis.verdicts) == len(manifest)


def test_a_checkpoint_of_the_users_has_to_know_all_labels(judged: tuple[pa.Table, Path, Path]) -> None:
    manifest, embeddings, checkpoint = judged
    with pytest.raises(CheckpointError, match="'b'"):
        read_judging_inputs(manifest, embeddings, PurifyConfig(), checkpoint_folder=checkpoint)


def test_without_a_checkpoint_no_sub_centers_are_fitted_before_a_rule_asks_for_them(
    judged: tuple[pa.Table, Path, Path],
) -> None:
    manifest, embeddings, _ = judged
    assert read_judging_inputs(manifest, embeddings, PurifyConfig()).space is None
