"""Arrow's allocator during an ingest, and afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pytest

from purify.config import IngestConfig
from purify.errors import InputError
from purify.ingest.arrow_memory import tight_arrow_memory
from purify.ingest.ingest import ingest


def test_the_callers_allocator_is_as_before(
    tmp_path: Path, write_tree: Callable[[Path, Mapping[str, bytes]], Path], encode: Callable[..., bytes]
) -> None:
    before = pa.default_memory_pool().backend_name
    source = write_tree(tmp_path / "set", {"A/1.png": encode(), "B/1.png": encode(seed=1)})
    assert ingest(source, [], IngestConfig())["label"].to_pylist() == ["A", "B"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError):
        ingest(tmp_path / "empty", [], IngestConfig())
    assert pa.default_memory_pool().backend_name == before


def test_a_build_without_the_allocator_keeps_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> pa.MemoryPool:
        raise NotImplementedError

    monkeypatch.setattr(pa, "jemalloc_memory_pool", absent)
    before = pa.default_memory_pool().backend_name
    with tight_arrow_memory():
        assert pa.default_memory_pool().backend_name == before
