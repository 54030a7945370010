from __future__ import annotations

from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from purify.models.nearest_rows import top_cosines


def _unit(n: int, dim: int, seed: int) -> npt.NDArray[np.float32]:
    rows = np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _expected(queries: npt.NDArray[Any], vectors: npt.NDArray[Any], k: int) -> npt.NDArray[np.int64]:
    """By a full sort; of equal ones the lowest row."""
    scores = queries.astype(np.float64) @ vectors.astype(np.float64).T
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


@pytest.mark.parametrize("block", [None, 64, 1000])
@pytest.mark.parametrize("device", ["cpu", ["cpu", "cpu", "cpu"]])
def test_the_answer_is_that_of_a_flat_index(block: int | None, device: str | list[str]) -> None:
    vectors, queries = _unit(700, 24, 0), _unit(90, 24, 1)
    index = faiss.IndexFlatIP(24)
    index.add(vectors)
    values, rows = index.search(queries, 7)
    cosines, found = top_cosines(queries, vectors, 7, device=device, block=block)
    np.testing.assert_array_equal(found, rows)
    np.testing.assert_allclose(cosines, values, atol=1e-6)
    assert (cosines.dtype, found.dtype) == (np.float32, np.int64)


@given(
    st.integers(1, 40),
    st.integers(1, 9),
    st.integers(1, 12),
    st.integers(1, 200),
    st.integers(1, 4),
    st.integers(0, 99),
)
def test_of_equal_cosines_the_lowest_rows_are_taken(
    n: int, asked: int, k: int, block: int, devices: int, seed: int
) -> None:
    """Small whole numbers: sums are exact, and most are equal."""
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-1, 2, (n, 3)).astype(np.float16)
    queries = rng.integers(-1, 2, (asked, 3)).astype(np.float32)
    cosines, rows = top_cosines(queries, vectors, k, device=["cpu"] * devices, block=block)
    expected = _expected(queries, vectors, k)
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_array_equal(cosines, np.take_along_axis(queries @ vectors.astype(np.float32).T, expected, 1))


def test_rows_of_a_memory_map_and_no_queries_are_fine(tmp_path: Any) -> None:
    vectors = _unit(50, 8, 3).astype(np.float16)
    np.save(tmp_path / "v.npy", vectors)
    mapped = np.load(tmp_path / "v.npy", mmap_mode="r")
    _, rows = top_cosines(mapped[:5], mapped, 1, block=32)
    np.testing.assert_array_equal(rows[:, 0], np.arange(5))
    assert top_cosines(vectors[:0], vectors, 3)[1].shape == (0, 3)


def test_the_precision_of_products_is_restored() -> None:
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("high")
        top_cosines(_unit(2, 4, 0), _unit(3, 4, 1), 1)
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)
