from __future__ import annotations

import faiss
import numpy as np
import pytest

from purify.analysis.nearest_images import nearest_images
from purify.analysis.neighbors import find_neighbors
from purify.analysis.threaded_search import BLOCK_ROWS

ROWS = 2 * BLOCK_ROWS + 700


def _find(*, exact: bool) -> bytes:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(ROWS, 16))
    vectors[1:40] = vectors[0] + 0.01 * rng.normal(size=(39, 16))  # more near duplicates than a first search sees
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels = rng.integers(0, 90, ROWS)
    nearest = nearest_images(vectors.astype(np.float32), labels, exact_images=ROWS if exact else ROWS - 1)
    found = find_neighbors(nearest, labels, k=6, near_duplicate=0.98)
    return found.rows.tobytes() + found.agreement.tobytes() + nearest.cosine.tobytes()


@pytest.mark.parametrize("exact", [True, False])
def test_neighbors_do_not_depend_on_the_number_of_threads(exact: bool) -> None:
    before = faiss.omp_get_max_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            faiss.omp_set_num_threads(threads)
            found.append(_find(exact=exact))
            assert faiss.omp_get_max_threads() == threads
    finally:
        faiss.omp_set_num_threads(before)
    assert found[0] == found[1] == found[2]
