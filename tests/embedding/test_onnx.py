from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from purify.config import ExtractorConfig
from purify.embedding.onnx import METADATA_KEY, OnnxExtractor
from purify.errors import InputError
from tests.onnx_model import write_linear_onnx

SIZE, DIM = 8, 5
RNG = np.random.default_rng(0)
WEIGHT = RNG.normal(size=(3 * SIZE * SIZE, DIM))
PIXELS = RNG.integers(0, 256, (7, 3, SIZE, SIZE), dtype=np.uint8)


def _expected(pixels: np.ndarray, *, mean: float = 127.5, std: float = 127.5, flip: bool = True) -> np.ndarray:
    images = (pixels.astype(np.float64) - mean) / std
    views = [images, images[..., ::-1]] if flip else [images]
    embeddings = sum(view.reshape(len(view), -1) @ WEIGHT for view in views)
    return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("batch", ["N", 1, 4])
def test_embeddings_are_the_models(tmp_path: Path, batch: int | str, flip: bool) -> None:
    path = tmp_path / "model.onnx"
    write_linear_onnx(path, WEIGHT, size=SIZE, shape=(batch, 3, SIZE, SIZE))
    extractor = OnnxExtractor(path, ExtractorConfig(), flip=flip)
    assert (extractor.input_size, extractor.dim) == (SIZE, DIM)
    got = extractor(PIXELS)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, _expected(PIXELS, flip=flip), atol=1e-5)


def test_what_the_file_says_of_its_input_wins(tmp_path: Path) -> None:
    declared = ExtractorConfig(mean=0, std=255, color="BGR", input_size=SIZE)
    write_linear_onnx(tmp_path / "silent.onnx", WEIGHT, size=SIZE, shape=("N", 3, "H", "W"))
    silent = OnnxExtractor(tmp_path / "silent.onnx", declared)
    np.testing.assert_allclose(silent(PIXELS), _expected(PIXELS[:, ::-1], mean=0, std=255), atol=1e-5)
    said = {METADATA_KEY: json.dumps({"color": "RGB", "mean": 100, "std": 50})}
    write_linear_onnx(tmp_path / "said.onnx", WEIGHT, size=SIZE, metadata=said)
    speaking = OnnxExtractor(tmp_path / "said.onnx", declared)
    np.testing.assert_allclose(speaking(PIXELS), _expected(PIXELS, mean=100, std=50), atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "config", "message"),
    [
        (("N", 3, "H", "W"), {}, r"set extractor\.input_size"),
        (("N", 3, SIZE, SIZE), {"input_size": 112}, "where 112 is wanted"),
        (("N", SIZE, SIZE, 3), {}, r"one input of floats \[N, 3, S, S\]"),
        (("N", 3, "H", "W"), {"input_size": 9}, "can't be run on images"),
    ],
)
def test_models_of_another_kind_are_refused(
    tmp_path: Path, shape: tuple[int | str, ...], config: dict[str, int], message: str
) -> None:
    path = tmp_path / "model.onnx"
    write_linear_onnx(path, WEIGHT, size=SIZE, shape=shape)
    with pytest.raises(InputError, match=rf"model\.onnx.*{message}"):
        OnnxExtractor(path, ExtractorConfig(**config))


@pytest.mark.parametrize("content", [b"", b"not a model", None])
def test_damaged_files_are_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"model\.onnx: can't be read as an ONNX model"):
        OnnxExtractor(path, ExtractorConfig())


def test_metadata_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    for text in ("{", '{"mean": 1}', '{"color": "RGB", "mean": 1, "std": 0}', "[]"):
        write_linear_onnx(tmp_path / "model.onnx", WEIGHT, size=SIZE, metadata={METADATA_KEY: text})
        with pytest.raises(InputError, match=r"metadata purify\.preprocessing can.t be read"):
            OnnxExtractor(tmp_path / "model.onnx", ExtractorConfig())


def test_without_the_runtime_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"purify\[onnx\]"):
        OnnxExtractor(tmp_path / "model.onnx", ExtractorConfig())


@pytest.mark.parametrize("shape", [("N", 3, 20_000, 20_000), (4096, 3, 512, 512), (1 << 40, 3, 8, 8), ("N", 3, 0, 0)])
def test_an_input_beyond_measure_is_refused(tmp_path: Path, shape: tuple[int | str, ...]) -> None:
    path = tmp_path / "huge.onnx"
    write_linear_onnx(path, np.ones((192, 4)), size=8, shape=shape)
    with pytest.raises(InputError, match=r"pixels at once|can't be read"):
        OnnxExtractor(path, ExtractorConfig())
