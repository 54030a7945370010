from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import faiss
import numpy as np
import pytest

from purify.analysis.neighbors import BLOCK_ROWS, Neighbors, SearchBlocks, find_neighbors, search_here
from purify.embedding.blocks import Block, run_here
from purify.neighbor_blocks import search_in_blocks
from purify.progress import Progress

ROWS = 2 * BLOCK_ROWS + 700


def _find(search: SearchBlocks = search_here, *, exact: bool = True, seed: int = 0) -> bytes:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(ROWS, 16))
    vectors[1:40] = vectors[0] + 0.01 * rng.normal(size=(39, 16))  # more near duplicates than a first search sees
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found: Neighbors = find_neighbors(
        vectors.astype(np.float32),
        rng.integers(0, 90, ROWS),
        k=6,
        near_duplicate=0.98,
        exact_rows=ROWS if exact else ROWS - 1,
        search=search,
    )
    return found.rows.tobytes() + found.agreement.tobytes()


class Stopped:
    """Does some blocks, then stops as a kill would."""

    def __init__(self, most: int) -> None:
        self.names: list[str] = []
        self._most = most

    def __call__(self, blocks: Sequence[Block], progress: Progress) -> None:
        self.names = [block.name for block in blocks]
        run_here(blocks[: self._most])
        if len(blocks) > self._most:
            raise KeyboardInterrupt


@pytest.mark.parametrize("exact", [True, False])
def test_blocks_on_files_give_what_this_process_finds(exact: bool, tmp_path: Path) -> None:
    by_blocks = search_in_blocks(tmp_path / "search", run_here, least_rows=1)
    assert _find(by_blocks, exact=exact) == _find(exact=exact)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("exact", [True, False])
def test_what_is_found_does_not_depend_on_the_number_of_threads(exact: bool) -> None:
    before = faiss.omp_get_max_threads()
    index_threads = []
    try:
        for threads in (1, 2, 3):
            faiss.omp_set_num_threads(threads)
            index_threads.append(_find(exact=exact))
            assert faiss.omp_get_max_threads() == threads
    finally:
        faiss.omp_set_num_threads(before)
    assert index_threads[0] == index_threads[1] == index_threads[2]


def test_an_interrupted_search_goes_on_and_another_one_starts_anew(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        _find(search_in_blocks(tmp_path / "search", Stopped(1), least_rows=1))
    other = Stopped(9)
    _find(search_in_blocks(tmp_path / "search", other, least_rows=1), seed=1)
    assert len(other.names) == 3
    rest = Stopped(9)
    assert _find(search_in_blocks(tmp_path / "search", rest, least_rows=1)) == _find()
    assert rest.names == ["neighbors 4096-8192", f"neighbors 8192-{ROWS}"]


def test_few_rows_are_searched_here(tmp_path: Path) -> None:
    never = Stopped(0)
    assert _find(search_in_blocks(tmp_path / "search", never)) == _find()
    assert never.names == []
