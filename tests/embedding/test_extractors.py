from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

from purify.cli import main
from purify.config import ExtractorConfig
from purify.embedding.extractors import model_file, open_extractor
from purify.embedding.store import read_embeddings
from purify.errors import InputError
from purify.images.loading import ImageLoader
from purify.models.backbones import build_backbone
from tests.onnx_model import write_linear_onnx


@pytest.fixture(scope="module")
def backbone() -> torch.nn.Module:
    torch.manual_seed(0)
    return build_backbone("iresnet_small", embedding_dim=16, input_size=32).eval()


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_weights_of_a_backbone_are_an_extractor(backbone: torch.nn.Module, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    state = {f"module.{key}": tensor for key, tensor in backbone.state_dict().items()}
    torch.save(state, path) if path.suffix == ".pth" else save_file(state, path)
    extractor = open_extractor(path, ExtractorConfig(), precision="float32", flip=False)
    assert (extractor.input_size, extractor.dim) == (32, 16)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3, 32, 32), dtype=np.uint8)
    with torch.no_grad():
        expected = torch.nn.functional.normalize(backbone(torch.from_numpy(pixels).float() / 127.5 - 1), dim=1)
    np.testing.assert_allclose(extractor(pixels), expected.numpy(), atol=1e-5)
    assert model_file(path) == path


def test_the_input_size_of_weights_can_be_said(backbone: torch.nn.Module, tmp_path: Path) -> None:
    torch.save(backbone.state_dict(), tmp_path / "w.pth")
    sizes = (20, 48)
    close = open_extractor(tmp_path / "w.pth", ExtractorConfig(input_size=sizes[0]), precision="float32", flip=False)
    assert close.input_size == sizes[0]
    with pytest.raises(InputError, match=r"w\.pth.*not of this backbone"):
        open_extractor(tmp_path / "w.pth", ExtractorConfig(input_size=sizes[1]), precision="float32", flip=False)


def test_weights_of_no_backbone_are_refused(tmp_path: Path) -> None:
    torch.save({"stem.weight": torch.zeros(3)}, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"w\.pth.*fit none of iresnet_small.*ONNX"):
        open_extractor(tmp_path / "w.pth", ExtractorConfig(), precision="float32", flip=True)


def test_the_command_line_embeds_with_an_onnx_file(
    tmp_path: Path, draw_stripes: Callable[[Path, float, np.random.Generator], None]
) -> None:
    rng, size = np.random.default_rng(0), 8
    for k in range(4):
        draw_stripes(tmp_path / "images" / f"label {k % 2}" / f"{k}.png", k, rng)
    weight = rng.normal(size=(3 * size * size, 6))
    write_linear_onnx(tmp_path / "model.onnx", weight, size=size)
    run = CliRunner(catch_exceptions=False).invoke
    assert run(main, ["ingest", str(tmp_path / "images"), "--out", str(tmp_path)]).exit_code == 0
    command = ["embed", str(tmp_path / "manifest.parquet"), "--checkpoint", str(tmp_path / "model.onnx")]
    plain = ["--set", "embed.flip=false", "--set", "extractor.mean=0", "--set", "extractor.std=1"]
    assert run(main, [*command, *plain, "--out", str(tmp_path)]).exit_code == 0
    paths = sorted((tmp_path / "images").rglob("*.png"))
    ids = [str(path.relative_to(tmp_path / "images")) for path in paths]
    with ImageLoader(ids, [path.as_uri() for path in paths], size=size) as loader:
        ((_, pixels),) = loader.batches([np.arange(len(paths))])
    expected = pixels.reshape(len(paths), -1).astype(np.float64) @ weight
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(read_embeddings(tmp_path / "embeddings.parquet", ids), expected, atol=1e-4)
