"""A checkpoint as an ONNX file: the same embeddings, whatever the batch."""

from __future__ import annotations

import builtins
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow.parquet as pq
import pytest
import torch
from click.testing import CliRunner

from purify.cli import main
from purify.config import ExtractorConfig
from purify.embedding.extractors import open_extractor
from purify.embedding.onnx import METADATA_KEY
from purify.embedding.onnx_export import export_onnx
from purify.errors import InputError, PurifyError
from purify.models.backbones import build_backbone
from purify.models.checkpoint import Checkpoint, save_checkpoint
from purify.models.heads import SubcenterHead

SIZE, DIM = 32, 16


def write_checkpoint(folder: Path, name: str) -> Path:
    """A checkpoint whose batch normalizations have seen images."""
    torch.manual_seed(0)
    backbone = build_backbone(name, embedding_dim=DIM, input_size=SIZE)
    backbone.train()
    with torch.no_grad():
        for _ in range(3):
            backbone(torch.rand(8, 3, SIZE, SIZE) * 2 - 1)
    head = SubcenterHead(0, DIM)
    save_checkpoint(folder, Checkpoint.of(backbone, head, backbone_name=name, input_size=SIZE, labels=(), extra={}))
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"), "mobilefacenet")


@pytest.mark.parametrize("name", ["mobilefacenet", "iresnet18"])
@pytest.mark.parametrize("batch", [1, 7])
def test_both_embed_alike(name: str, batch: int, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "checkpoint", name)
    assert export_onnx(folder, tmp_path / "m.onnx") < 1e-4
    pixels = np.random.default_rng(0).integers(0, 256, (batch, 3, SIZE, SIZE), dtype=np.uint8)
    # Wrong settings, which the file's own override.
    settings = ExtractorConfig(color="BGR", mean=0, std=1)
    one, other = (
        open_extractor(model, settings, precision="float32", flip=True)(pixels)
        for model in (folder, tmp_path / "m.onnx")
    )
    np.testing.assert_allclose(one, other, atol=1e-4)


def test_the_same_checkpoint_gives_the_same_bytes(checkpoint: Path, tmp_path: Path) -> None:
    for name in ("a.onnx", "b.onnx"):
        export_onnx(checkpoint, tmp_path / name)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_the_file_says_how_its_input_is_made(checkpoint: Path, tmp_path: Path) -> None:
    export_onnx(checkpoint, tmp_path / "m.onnx")
    model = onnx.load(str(tmp_path / "m.onnx"))
    onnx.checker.check_model(model)
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(said[METADATA_KEY]) == {"color": "RGB", "mean": 127.5, "std": 127.5, "size": SIZE}
    shapes = [
        [axis.dim_param or axis.dim_value for axis in entry.type.tensor_type.shape.dim] for entry in model.graph.input
    ]
    assert shapes == [["N", 3, SIZE, SIZE]]


def test_embedding_a_manifest_by_either(
    checkpoint: Path, tmp_path: Path, encode: Callable[..., bytes], write_tree: Any
) -> None:
    source = {
        f"{person}/{n}.jpg": encode(40, 40, "JPEG", seed=10 * n + len(person))
        for person in ("a", "bb")
        for n in range(5)
    }
    write_tree(tmp_path / "faces", source)
    runner, vectors = CliRunner(), []
    commands = [["ingest", "faces", "--out", "run"], ["export-model", str(checkpoint), "--out", "m.onnx"]]
    for model in (str(checkpoint), "m.onnx"):
        out = f"by-{len(commands)}"
        commands.append(["embed", "run/manifest.parquet", "--checkpoint", model, "--out", out])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        for command in commands:
            result = runner.invoke(main, command, catch_exceptions=False)
            assert result.exit_code == 0, result.output
        for out in ("by-2", "by-3"):
            vectors.append(np.stack(pq.read_table(f"{out}/embeddings.parquet")["embedding"].to_pylist()))
    np.testing.assert_allclose(*vectors, atol=1e-4)


def test_a_file_that_computes_something_else_is_not_written(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("purify.embedding.onnx_export._TOLERANCE", -1.0)
    with pytest.raises(PurifyError, match="not written"):
        export_onnx(checkpoint, tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_what_is_missing_is_said(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"ends in \.onnx"):
        export_onnx(checkpoint, tmp_path / "m.pth")
    with pytest.raises(InputError, match="no such file"):
        export_onnx(tmp_path, tmp_path / "m.onnx")
    original = builtins.__import__

    def without_onnx(name: str, *args: Any, **values: Any) -> Any:
        if name == "onnx":
            raise ImportError("no", name="onnx")
        return original(name, *args, **values)

    monkeypatch.setattr(builtins, "__import__", without_onnx)
    with pytest.raises(InputError, match=r"purify\[onnx\]"):
        export_onnx(checkpoint, tmp_path / "m.onnx")
