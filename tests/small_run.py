"""A run of a second: pictures, given embeddings, nothing trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from purify.config import PurifyConfig
from purify.pipeline.run import run as purify_run
from purify.storage.run_folder import RunFolder

CONFIG = PurifyConfig.model_validate({"retrain": {"enabled": False}, "rounds": {"most": 1}})


def draw_source(folder: Path, people: int, images: int) -> Path:
    """A source of pictures, and the embeddings of them and of one more for each person."""
    rng = np.random.default_rng(0)
    ids, vectors = [], []
    for person in range(people):
        center = rng.normal(size=16)
        for number in range(images + 1):
            name = f"p{person}/{number}.png"
            path = folder / ("source" if number < images else "later") / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(path)
            ids.append(name)
            vectors.append((center + 0.2 * rng.normal(size=16)).astype(np.float32))
    table = pa.table({"path": ids, "embedding": [vector.tolist() for vector in vectors]})
    pq.write_table(table, folder / "embeddings.parquet")
    return folder / "source"


def update(folder: Path) -> RunFolder:
    result = purify_run(
        folder / "source", folder / "run", CONFIG, embeddings=folder / "embeddings.parquet", progress=False
    )
    return result.folder
