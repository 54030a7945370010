from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from purify.config import ModelConfig, TrainConfig
from purify.storage.files import write_table

CLASSES, PER_CLASS, SIZE = 6, 16, 32


@pytest.fixture(scope="session")
def pattern_table(
    tmp_path_factory: pytest.TempPathFactory, draw_stripes: Callable[[Path, float, np.random.Generator], None]
) -> Path:
    """Six classes of striped pictures that a small network tells apart within seconds."""
    folder = tmp_path_factory.mktemp("patterns")
    rng = np.random.default_rng(0)
    rows = []
    for label in range(CLASSES):
        for k in range(PER_CLASS):
            path = folder / f"{label}-{k}.png"
            draw_stripes(path, np.pi * label / CLASSES, rng)
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
        threads=1,
        checkpoint_seconds=0,
    )
