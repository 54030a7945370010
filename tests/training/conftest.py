from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from purify.config import ModelConfig, TrainConfig
from purify.manifest.io import write_table

CLASSES, PER_CLASS, SIZE = 6, 16, 32


@pytest.fixture(scope="session")
def pattern_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six classes of striped pictures that a small network tells apart within seconds."""
    folder = tmp_path_factory.mktemp("patterns")
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    rows = []
    for label in range(CLASSES):
        angle = np.pi * label / CLASSES
        for k in range(PER_CLASS):
            phase = rng.uniform(0, 2 * np.pi)
            wave = np.sin(18 * (x * np.cos(angle) + y * np.sin(angle)) + phase)
            pixels = 127 + 80 * wave[..., None] + rng.normal(0, 20, (SIZE, SIZE, 3))
            path = folder / f"{label}-{k}.png"
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
            rows.append({"sample_id": path.name, "uri": path.as_uri(), "label": f"class {label}", "status": "ok"})
    table = folder / "table.parquet"
    write_table(pa.Table.from_pylist(rows), table)
    return table


@pytest.fixture
def model() -> ModelConfig:
    return ModelConfig(backbone="iresnet_small", embedding_dim=16, input_size=SIZE)


@pytest.fixture
def recipe() -> TrainConfig:
    return TrainConfig(
        epochs=4,
        min_steps=24,
        batch_size=16,
        precision="float32",
        workers=1,
        parallel=2,
        checkpoint_seconds=0,
    )
