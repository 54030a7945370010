from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purify.analysis import search
from purify.analysis.nearest_images import EXACT_IMAGES, nearest_images
from purify.analysis.neighbors import Neighbors, find_neighbors, nearest_of
from purify.analysis.search import center_index


def unit(values: np.ndarray) -> np.ndarray:
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def find(
    vectors: np.ndarray, labels: np.ndarray, *, k: int, near_duplicate: float, exact_images: int = EXACT_IMAGES
) -> Neighbors:
    nearest = nearest_images(vectors, labels, most=k + 2, exact_images=exact_images)
    return find_neighbors(nearest, labels, k=k, near_duplicate=near_duplicate)


@settings(deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 60), k=st.integers(1, 25), copies=st.integers(0, 40))
def test_neighbors_equal_an_exhaustive_search(seed: int, n: int, k: int, copies: int) -> None:
    """Also where more near duplicates than the first search's slack stand before the neighbors."""
    rng = np.random.default_rng(seed)
    base = rng.normal(size=(n, 6))
    near = base[:1] + 0.01 * rng.normal(size=(copies, 6))
    embeddings = unit(np.concatenate([base, near]))
    labels = rng.integers(0, 3, len(embeddings))
    found = find(embeddings, labels, k=k, near_duplicate=0.98)
    cosines = embeddings.astype(np.float64) @ embeddings.T.astype(np.float64)
    np.fill_diagonal(cosines, 2)
    for i, row in enumerate(found.rows):
        counted = cosines[i] <= 0.98
        chosen = row[row >= 0]
        assert len(set(chosen)) == len(chosen) == min(k, counted.sum())
        # by their cosines: which of two copies comes first hangs on the last bit
        np.testing.assert_allclose(cosines[i, chosen], -np.sort(-cosines[i, counted])[:k], atol=1e-6)
        asked = min(k, (counted & (labels == labels[i])).sum())
        agreed = (labels[chosen[:asked]] == labels[i]).sum()
        assert found.agreement[i] == pytest.approx(agreed / asked if asked else np.nan, nan_ok=True)


def test_a_right_image_of_a_small_class_agrees_fully() -> None:
    centers = np.eye(8)[[0] * 4 + [1] * 30]
    labels = np.array([0] * 4 + [1] * 30)
    embeddings = unit(centers + 0.15 * np.random.default_rng(0).normal(size=centers.shape))
    assert find(embeddings, labels, k=20, near_duplicate=1.0).agreement.tolist() == [1.0] * 34


def test_near_duplicates_do_not_vote_for_their_label() -> None:
    rng = np.random.default_rng(0)
    crowd = np.eye(8)[0] + 0.3 * rng.normal(size=(10, 8))
    copies = crowd[:1] + 1e-4 * rng.normal(size=(5, 8))
    embeddings = unit(np.concatenate([crowd, copies]))
    labels = np.array([1, *[0] * 9, *[1] * 5])  # image 0 and its copies carry a wrong label
    found = find(embeddings, labels, k=5, near_duplicate=0.98)
    assert not np.isin(found.rows[0], range(10, 15)).any()
    assert np.isnan(found.agreement[0])  # none but its copies could agree
    counted = find(embeddings, labels, k=5, near_duplicate=1.0)
    assert counted.agreement[0] == 1


def test_a_lonely_image_has_no_neighbors() -> None:
    found = find(unit(np.ones((1, 4))), np.array([0]), k=3, near_duplicate=0.98)
    assert found.rows.tolist() == [[-1, -1, -1]]
    assert np.isnan(found.agreement).all()


def test_an_approximate_index_finds_nearly_the_same_and_the_same_each_time() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(200), 20)
    embeddings = unit(rng.normal(size=(200, 32))[labels] + 0.5 * rng.normal(size=(4000, 32)))
    exact = find(embeddings, labels, k=10, near_duplicate=0.99)
    rough = find(embeddings, labels, k=10, near_duplicate=0.99, exact_images=1000)
    again = find(embeddings, labels, k=10, near_duplicate=0.99, exact_images=1000)
    assert (rough.rows == exact.rows).mean() > 0.95
    np.testing.assert_array_equal(rough.rows, again.rows)


def test_of_very_many_centers_a_subspace_chooses_and_all_dimensions_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    centers = unit(rng.normal(size=(600, 256)))
    queries = unit(centers[rng.integers(0, 600, 500)] + 1.2 / 16 * rng.normal(size=(500, 256)))
    exact = center_index(centers, 500).search(queries, 8)
    monkeypatch.setattr(search, "MOST_EXACT_PAIRS", 1000)
    cosine, found = center_index(centers, 500).search(queries, 8)
    np.testing.assert_array_equal(found[:, 0], exact[1][:, 0])
    np.testing.assert_allclose(cosine, np.einsum("nd,nkd->nk", queries, centers[found]), atol=1e-6)
    labels = np.repeat(np.arange(100), 12)
    images = unit(centers[labels] + 1.2 / 16 * rng.normal(size=(1200, 256)))
    filed, flat = (nearest_images(images, labels, most=9, exact_images=most) for most in (1000, 2000))
    assert (filed.rows == flat.rows).mean() > 0.95
    few = unit(rng.normal(size=(600, 64)))  # as few dimensions need no subspace
    np.testing.assert_array_equal(center_index(few, 500).search(few, 1)[1][:, 0], np.arange(600))


def test_evidence_is_the_nearest_of_what_is_wanted() -> None:
    rng = np.random.default_rng(0)
    found = find(unit(rng.normal(size=(5, 4))), np.zeros(5, int), k=6, near_duplicate=1.0)
    wanted = np.ones((5, 6), bool)
    wanted[1] = False
    wanted[2, 0] = False
    rows, offsets = nearest_of(found, wanted, most=2)
    assert offsets.tolist() == [0, 2, 2, 4, 6, 8]
    assert rows[:2].tolist() == found.rows[0, :2].tolist()
    assert rows[2:4].tolist() == found.rows[2, 1:3].tolist()


@pytest.mark.parametrize("k", [1, 3])
def test_order_of_neighbors_is_by_distance(k: int) -> None:
    angles = np.radians([0, 10, 25, 45])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    found = find(embeddings, np.zeros(4, int), k=k, near_duplicate=0.999)
    assert found.rows[0].tolist() == [1, 2, 3][:k]


def test_a_device_finds_the_same_as_an_exhaustive_search() -> None:
    rng = np.random.default_rng(0)
    vectors, labels = unit(rng.normal(size=(700, 12))), rng.integers(0, 9, 700)
    exact, found = (nearest_images(vectors, labels, most=9, device=device) for device in (None, "cpu"))
    np.testing.assert_array_equal(found.rows, exact.rows)
    np.testing.assert_allclose(found.cosine, exact.cosine, atol=1e-6)
    assert found.recall == 1.0


def test_the_recall_of_an_approximate_search_is_what_was_asked_for() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(300), 10)
    vectors = unit(rng.normal(size=(300, 24))[labels] + 0.6 * rng.normal(size=(3000, 24)))
    for wanted in (0.6, 0.99):
        found = nearest_images(vectors, labels, recall=wanted, exact_images=500)
        exact = nearest_images(vectors, labels)
        near = exact.cosine > 0.6
        seen = (exact.rows[:, :, None] == found.rows[:, None]).any(axis=2)
        assert wanted <= found.recall <= 1
        assert seen[near].mean() > wanted - 0.05
