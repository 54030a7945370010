"""A run whose first round has the user's own model in place of a training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from purify.errors import InputError
from purify.orchestration.launch import run_request
from purify.pipeline.request import RunRequest
from purify.storage.files import read_json
from purify.storage.run_folder import RunFolder
from tests.noisy_set import NoisySet
from tests.onnx_model import write_linear_onnx

pytestmark = pytest.mark.usefixtures("prefect_server")


def _request(noisy_set: NoisySet, folder: Path, file: Path, embeddings: str | None = None) -> RunRequest:
    config = noisy_set.config()
    changed = {
        "extractor": config.extractor.model_copy(update={"name": str(file)}),
        "retrain": config.retrain.model_copy(update={"enabled": False}),
        "evaluate": config.evaluate.model_copy(update={"pairs": None}),
    }
    return RunRequest(str(noisy_set.table), str(folder), config.model_copy(update=changed), embeddings)


def test_an_onnx_file_takes_the_place_of_the_first_training(noisy_set: NoisySet, tmp_path: Path) -> None:
    size, dim = 16, 12
    weight = np.random.default_rng(0).normal(size=(3 * size * size, dim))
    write_linear_onnx(tmp_path / "mine.onnx", weight, size=size)
    run = RunFolder(tmp_path / "run")
    run_request(_request(noisy_set, run.root, tmp_path / "mine.onnx"), quiet=True)
    info = read_json(run.info)
    assert set(info["stages"]) == {"ingest", "embed", "analyze", "apply"}
    assert info["extractor"] == {
        "asked": str(tmp_path / "mine.onnx"),
        "name": str(tmp_path / "mine.onnx"),
        "why": "as asked",
    }
    assert str(tmp_path / "mine.onnx") in info["input_hashes"]
    assert run.cleaned.exists()
    assert not run.round(1).checkpoint.exists()


def test_a_bad_extractor_is_refused_before_anything_is_embedded(noisy_set: NoisySet, tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    run = RunFolder(tmp_path / "run")
    with pytest.raises(InputError, match=r"bad\.onnx: can't be read"):
        run_request(_request(noisy_set, run.root, tmp_path / "bad.onnx"), quiet=True)
    assert not run.round(1).root.exists()
