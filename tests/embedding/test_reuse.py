"""Embedding again: only images that are not known yet, and the same file as before where there are none."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from purify.config import EmbedConfig, IngestConfig, PurifyConfig
from purify.embedding.backbone import Extractor, Pending
from purify.embedding.reuse import KnownEmbeddings, merge
from purify.embedding.store import read_embeddings
from purify.ingest.ingest import ingest
from purify.models.backbones import build_backbone
from purify.models.checkpoint import Checkpoint, save_checkpoint
from purify.models.heads import SubcenterHead
from purify.pipeline.embedding_stage import embed_manifest

CONFIG = EmbedConfig(shard_size=4, batch_size=4)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _checkpoint(tmp_path_factory.mktemp("checkpoint"), seed=0)


def _checkpoint(folder: Path, *, seed: int) -> Path:
    torch.manual_seed(seed)
    backbone = build_backbone("iresnet_small", embedding_dim=16, input_size=32).eval()
    labels, head = ("A", "B"), SubcenterHead(2, 16)
    save_checkpoint(
        folder,
        Checkpoint.of(backbone, head, backbone_name="iresnet_small", input_size=32, labels=labels, extra={}),
    )
    return folder


def _draw(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for k in range(10):
        _draw(tmp_path / "set" / "AB"[k % 2] / f"{k}.png", k)
    return tmp_path / "set"


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the batches that went through a backbone."""
    sizes: list[int] = []
    plain = Extractor.start

    def counting(self: Extractor, pixels: np.ndarray) -> Pending:
        sizes.append(len(pixels))
        return plain(self, pixels)

    monkeypatch.setattr(Extractor, "start", counting)
    return sizes


def _embed(source: Path, checkpoint: Path, out: Path, config: EmbedConfig = CONFIG) -> tuple[pa.Table, int]:
    manifest = ingest(source, [], IngestConfig(workers=1))
    settings = PurifyConfig.model_validate({"embed": config.model_dump(), "train": {"precision": "float32"}})
    return manifest, embed_manifest(manifest, checkpoint, out, settings)


def test_only_new_and_changed_images_are_embedded(
    source: Path, checkpoint: Path, tmp_path: Path, embedded: list[int]
) -> None:
    out, fresh = tmp_path / "e.parquet", tmp_path / "fresh.parquet"
    assert _embed(source, checkpoint, out)[1] == sum(embedded) == 10
    embedded.clear()
    _draw(source / "A" / "0.png", 20)
    _draw(source / "A" / "11.png", 21)
    _draw(source / "B" / "12.png", 22)
    (source / "B" / "3.png").unlink()
    (source / "B" / "5.png").rename(source / "A" / "renamed.png")
    manifest, count = _embed(source, checkpoint, out)
    assert count == sum(embedded) == 3
    assert _embed(source, checkpoint, fresh)[1] == 11
    ids = manifest["sample_id"].to_pylist()
    np.testing.assert_allclose(read_embeddings(out, ids), read_embeddings(fresh, ids), atol=1e-5)
    assert pa.parquet.read_table(out)["sample_id"].to_pylist() == ids
    assert not list(tmp_path.glob("*.shards-*"))


def test_nothing_new_leaves_the_file_alone(source: Path, checkpoint: Path, tmp_path: Path, embedded: list[int]) -> None:
    out = tmp_path / "e.parquet"
    _embed(source, checkpoint, out)
    before = out.stat()
    embedded.clear()
    assert _embed(source, checkpoint, out, EmbedConfig(shard_size=3, batch_size=2))[1] == 0
    assert not embedded
    assert (out.stat().st_mtime_ns, out.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_removed_images_leave_without_embedding(
    source: Path, checkpoint: Path, tmp_path: Path, embedded: list[int]
) -> None:
    out = tmp_path / "e.parquet"
    _embed(source, checkpoint, out)
    embedded.clear()
    shutil.rmtree(source / "B")
    manifest, count = _embed(source, checkpoint, out)
    assert (count, embedded) == (0, [])
    assert pa.parquet.read_table(out)["sample_id"].to_pylist() == manifest["sample_id"].to_pylist()


@pytest.mark.parametrize("other", ["model", "settings", "damaged"])
def test_what_another_model_or_setting_made_is_not_used(
    other: str, source: Path, checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "e.parquet"
    _embed(source, checkpoint, out)
    if other == "model":
        assert _embed(source, _checkpoint(tmp_path / "other", seed=1), out)[1] == 10
    elif other == "settings":
        assert _embed(source, checkpoint, out, CONFIG.model_copy(update={"flip": False}))[1] == 10
    else:
        out.write_bytes(out.read_bytes()[:-50])
        assert _embed(source, checkpoint, out)[1] == 10


def test_shards_of_another_list_of_images_are_not_used(
    source: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off while it embedded, and the source changed before it went on."""
    out = tmp_path / "e.parquet"
    plain, calls = Extractor.start, iter(range(100))

    def failing(self: Extractor, pixels: np.ndarray) -> Pending:
        if next(calls) == 2:  # the batch before is not read back yet
            raise RuntimeError("killed")
        return plain(self, pixels)

    with monkeypatch.context() as patch:
        patch.setattr(Extractor, "start", failing)
        with pytest.raises(RuntimeError, match="killed"):
            _embed(source, checkpoint, out)
    assert len(list(tmp_path.glob("e.shards-*/*.npy"))) == 1
    _draw(source / "A" / "0.png", 30)
    _embed(source, checkpoint, out)
    _embed(source, checkpoint, tmp_path / "fresh.parquet")
    assert out.read_bytes() == (tmp_path / "fresh.parquet").read_bytes()
    assert not list(tmp_path.glob("*.shards-*"))


@pytest.mark.parametrize("part", [1, 2, 5, 100])
def test_merging_keeps_the_order_whatever_the_parts(part: int) -> None:
    vectors = np.arange(12, dtype=np.float32).reshape(6, 2)
    known = KnownEmbeddings(pa.table({"sample_id": ["a", "b"], "sha256": ["x", "y"]}), vectors[:2])
    fresh = iter([vectors[2:3], vectors[3:6]])
    merged = np.concatenate(list(merge(known, np.array([-1, 1, -1, -1, 0, -1]), fresh, part=part)))
    np.testing.assert_array_equal(merged, vectors[[2, 1, 3, 4, 0, 5]])
