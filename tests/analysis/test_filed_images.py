"""The search among images filed under centers, beside an exhaustive one."""

from __future__ import annotations

import numpy as np
import pytest

from purify.analysis import nearest_images as searched
from purify.analysis.nearest_images import NearestImages, nearest_images
from purify.analysis.search import unit


def drawn(labels: int, images: int = 10, spread: float = 0.6, dim: int = 24) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    label = np.repeat(np.arange(labels), images)
    return unit(rng.normal(size=(labels, dim))[label] + spread * rng.normal(size=(len(label), dim))), label


def share_found(found: NearestImages, exact: NearestImages) -> np.ndarray:
    return (exact.rows[:, :, None] == found.rows[:, None]).any(axis=2)


@pytest.mark.parametrize("labels", [150, 15])
def test_what_is_found_has_its_cosines_and_is_nearest_first(labels: int) -> None:
    """Of many labels and of few, whose centers are too few to file under."""
    vectors, label = drawn(labels, 1500 // labels)
    found = nearest_images(vectors, label, most=12, exact_images=1499)
    exact = nearest_images(vectors, label, most=12, exact_images=1500)
    assert exact.recall == 1
    assert found.labels is exact.labels is None
    assert (found.rows >= 0).all()
    assert (found.rows != np.arange(1500)[:, None]).all()
    cosine = np.einsum("nd,nkd->nk", vectors, vectors[found.rows])
    np.testing.assert_allclose(found.cosine, cosine, atol=2e-3)
    near = found.cosine > 0.9
    np.testing.assert_allclose(found.cosine[near], cosine[near], atol=1e-6)
    assert (np.diff(found.cosine, axis=1) <= 1e-6).all()
    assert (share_found(found, exact) | (exact.cosine <= found.cosine[:, -1:] + 2e-3)).mean() > 0.85
    everything = vectors @ vectors.T
    np.fill_diagonal(everything, -np.inf)
    np.testing.assert_array_equal(exact.rows, np.argsort(-everything, axis=1, kind="stable")[:, :12])


def meaningless() -> tuple[np.ndarray, np.ndarray]:
    """Images of labels whose centers tell little of where an image's neighbors are."""
    vectors, label = drawn(150, spread=0.9, dim=48)
    return vectors, np.random.default_rng(1).permutation(label)


def test_the_recall_is_that_of_the_neighbors_too_near_for_chance() -> None:
    """Of normally distributed cosines, one of N lies beyond sqrt(2 ln N) deviations."""
    vectors, label = meaningless()
    found, exact = (nearest_images(vectors, label, most=12, recall=0.1, exact_images=most) for most in (1000, 2000))
    cosines = vectors @ vectors.T
    middle, low = np.quantile(cosines[label[:, None] != label], [0.5, 0.95])
    near = exact.cosine > middle + (low - middle) * np.sqrt(2 * np.log(1500)) / 1.645
    assert 0.3 < near.mean() < 0.6
    assert found.recall == pytest.approx(share_found(found, exact)[near].mean(), abs=0.03)
    assert found.recall > share_found(found, exact).mean() + 0.08


def test_more_recall_is_reached_by_looking_farther() -> None:
    vectors, label = meaningless()
    found = [nearest_images(vectors, label, recall=wanted, exact_images=10) for wanted in (0.1, 0.5, 0.9, 1.0)]
    recalls = [one.recall for one in found]
    assert 0.1 < recalls[0] < 0.5 <= recalls[1] < 0.9 <= recalls[2] < recalls[3] == 1
    exact = nearest_images(vectors, label)
    shares = [share_found(one, exact).mean() for one in found]
    assert shares == sorted(shares)
    assert shares[0] < 0.5
    assert 0.95 <= nearest_images(vectors, label, exact_images=10).recall < 1


def test_of_many_images_and_labels_the_nearest_labels_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, label = drawn(150)
    numbers = 3 * label + 1  # labels without images between them
    monkeypatch.setattr(searched, "MOST_PAIRS", 1500 * 150)
    assert nearest_images(vectors, numbers, exact_images=100).labels is None
    monkeypatch.setattr(searched, "MOST_PAIRS", 1500 * 150 - 1)
    found = nearest_images(vectors, numbers, exact_images=100)
    assert found.labels is not None
    centers = unit(np.stack([vectors[label == k].sum(axis=0) for k in range(150)]))
    nearest = np.argsort(-(vectors @ centers.T), axis=1)[:, :33]
    assert (found.labels == 3 * nearest + 1).mean() > 0.999
    few, of_few = drawn(15, 100)
    assert nearest_images(few, of_few, exact_images=100).labels is None  # clusters are no labels


def test_a_wider_search_is_exhaustive_and_padded() -> None:
    vectors, label = drawn(3, 4)
    found = nearest_images(vectors, label, most=2)
    cosine, rows = found.wider(np.array([7, 2]), 11)
    everything = vectors[[7, 2]] @ vectors.T
    for at, row in enumerate((7, 2)):
        order = [k for k in np.argsort(-everything[at], kind="stable").tolist() if k != row]
        assert rows[at].tolist() == order
        np.testing.assert_allclose(cosine[at], everything[at, order], atol=1e-6)
    cosine, rows = found.wider(np.array([0]), 20)
    assert rows[0, -1] == -1
    assert cosine[0, -1] == -np.inf
    assert (rows[0, :-1] > 0).all()


def test_fewer_images_than_asked_for_leave_places_empty() -> None:
    vectors, label = drawn(2, 2)
    found = nearest_images(vectors, label, most=5)
    assert (found.rows >= 0).sum(axis=1).tolist() == [3] * 4
    assert (found.rows[:, 3:] == -1).all()
    assert (found.cosine[:, 3:] == -np.inf).all()
