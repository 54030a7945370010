"""What Hugging Face's `datasets` writes is read; skips where it is not installed, as it is no dependency."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from purify.config import IngestConfig
from purify.ingest.ingest import ingest
from purify.storage.image_bytes import ImageByteReader

datasets = pytest.importorskip("datasets", reason="datasets, an oracle and no dependency, is not installed")

NAMES = ["Ann", "Bob", "Cid"]


@pytest.fixture
def images(encode: Callable[..., bytes]) -> list[bytes]:
    return [encode(seed=seed, file_format="JPEG") for seed in range(12)]


@pytest.fixture(params=["names", "numbers"])
def written(request: pytest.FixtureRequest, images: list[bytes]) -> Any:
    """A data set, its labels with names or plain numbers."""
    kind = datasets.ClassLabel(names=NAMES) if request.param == "names" else datasets.Value("int64")
    features = datasets.Features({"image": datasets.Image(), "label": kind})
    values = [{"bytes": image, "path": f"{k}.jpg"} for k, image in enumerate(images)]
    return datasets.Dataset.from_dict({"image": values, "label": [k % 3 for k in range(12)]}, features=features)


def check(source: Path, data: Any, images: list[bytes], config: IngestConfig) -> None:
    manifest = ingest(source, [], config)
    named = isinstance(data.features["label"], datasets.ClassLabel)
    assert manifest["label"].to_pylist() == [NAMES[k % 3] if named else str(k % 3) for k in range(12)]
    assert len(set(manifest["sample_id"].to_pylist())) == 12
    with ImageByteReader() as reader:
        assert [reader.read(uri) for uri in manifest["uri"].to_pylist()] == images


def test_parquet_shards(tmp_path: Path, written: Any, images: list[bytes], config: IngestConfig) -> None:
    for shard in range(2):
        written.shard(2, shard, contiguous=True).to_parquet(tmp_path / f"train-0000{shard}-of-00002.parquet")
    check(tmp_path, written, images, config)


def test_saved_datasets(tmp_path: Path, written: Any, images: list[bytes], config: IngestConfig) -> None:
    written.save_to_disk(tmp_path / "set", num_shards=3)
    check(tmp_path / "set", written, images, config)
    datasets.DatasetDict({"train": written}).save_to_disk(tmp_path / "sets")
    check(tmp_path / "sets", written, images, config)
    written.select(range(11, -1, -1)).save_to_disk(tmp_path / "selected")
    check_reversed = ingest(tmp_path / "selected", [], config)
    assert check_reversed["label"].to_pylist() == ingest(tmp_path / "set", [], config)["label"].to_pylist()[::-1]
