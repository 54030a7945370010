"""Embeddings that stay in their files: the same vectors, block by block, as often as asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from purify.analysis.verdicts import analyze
from purify.config import AnalyzeConfig
from purify.embedding.store import StoredEmbeddings, read_embeddings
from purify.errors import InputError
from tests.analysis.label_noise.test_calibration import draw


def shards(folder: Path, ids: list[str], vectors: np.ndarray, kinds: list[type]) -> Path:
    """Rows in another order, dealt to a shard for each of the kinds of numbers; and a row of another sample."""
    folder.mkdir()
    order = np.random.default_rng(0).permutation(len(ids))
    for number, (rows, kind) in enumerate(zip(np.array_split(order, len(kinds)), kinds, strict=True)):
        found = [vectors[row].astype(kind) for row in rows]
        table = {"path": [ids[row] for row in rows], "embedding": pa.array(found, pa.list_(pa.from_numpy_dtype(kind)))}
        pq.write_table(pa.table(table), folder / f"part-{number}.parquet", row_group_size=17)
    return folder


@pytest.mark.parametrize("kinds", [[np.float16], [np.float16, np.float32], [np.float64, np.float16]])
def test_blocks_hold_each_row_once_and_again(tmp_path: Path, kinds: list[type]) -> None:
    vectors = np.random.default_rng(1).normal(size=(90, 8))
    ids = [f"id {row}" for row in range(90)]
    place = shards(tmp_path / "shards", ids, vectors, kinds)
    stored = StoredEmbeddings(place, pa.chunked_array([ids[:50], ids[50:]]))
    widest = np.float16 if kinds == [np.float16] else np.float32
    assert (stored.shape, stored.dtype) == ((90, 8), widest)
    for _ in range(2):
        rows, blocks = zip(*stored.blocks(), strict=True)
        assert sorted(np.concatenate(rows).tolist()) == list(range(90))
        assert {block.dtype for block in blocks} == {np.dtype(widest)}
    np.testing.assert_array_equal(stored.in_memory(), read_embeddings(place, ids).astype(widest))


def test_verdicts_of_files_are_those_of_arrays(tmp_path: Path) -> None:
    data = draw([12] * 20, flips=0.2, strangers=0.05, dim=32)
    ids, labels = [f"{row:04d}" for row in range(240)], [f"p{label:02d}" for label in data.label]
    place = shards(tmp_path / "shards", ids, data.embeddings, [np.float16, np.float16, np.float16])
    stored = StoredEmbeddings(place, pa.chunked_array([ids]))
    names = sorted(set(labels))
    found = [
        analyze(ids, labels, given, names, AnalyzeConfig(rule=rule), space=None, seed=1)
        for rule in ("calibrated", "official")
        for given in (stored, stored.in_memory())
    ]
    assert found[0].verdicts.equals(found[1].verdicts)
    assert found[2].verdicts.equals(found[3].verdicts)
    assert [one.rule.split("/")[0] for one in found] == ["calibrated", "calibrated", "official", "official"]


def test_what_is_wrong_with_a_file_is_said_before_anything_is_judged(tmp_path: Path) -> None:
    vectors = np.ones((20, 4))
    vectors[7] = np.nan
    ids = [f"id {row}" for row in range(20)]
    place = shards(tmp_path / "shards", ids, vectors, [np.float32])
    with pytest.raises(InputError, match="not finite"):
        StoredEmbeddings(place, pa.chunked_array([ids]))
    with pytest.raises(InputError, match="no embedding for 1 of 2 samples, such as another"):
        StoredEmbeddings(place, pa.chunked_array([["id 1", "another"]]))
