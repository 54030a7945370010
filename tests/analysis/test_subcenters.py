from __future__ import annotations

import numpy as np
import pytest

from purify.analysis.subcenters import assign, nearest_other_class

AXES = np.eye(4, dtype=np.float32)


def test_votes_and_dominant_of_a_known_case() -> None:
    centers = np.stack([AXES[:2], AXES[2:]])
    embeddings = AXES[[0, 1, 1, 2, 3, 3]]
    found = assign(embeddings, np.array([0, 0, 0, 1, 1, 1]), centers)
    assert found.subcenter.tolist() == [0, 1, 1, 0, 1, 1]
    assert found.votes.tolist() == [[1, 2], [1, 2]]
    assert found.dominant.tolist() == [1, 1]
    assert found.dominant_share.tolist() == pytest.approx([2 / 3, 2 / 3])
    assert found.cos.tolist() == [1] * 6
    assert found.cos_dominant.tolist() == [0, 1, 1, 0, 1, 1]


def test_ties_go_to_the_lowest_index() -> None:
    centers = np.stack([AXES[[3, 1, 0]], AXES[[2, 2, 2]]])
    found = assign(AXES[[0, 1, 2, 2]], np.array([0, 0, 1, 1]), centers)
    assert found.subcenter.tolist() == [2, 1, 0, 0]
    assert found.votes.tolist() == [[0, 1, 1], [2, 0, 0]]
    assert found.dominant.tolist() == [1, 0]


def test_a_class_without_images_has_no_share_and_is_nobodys_neighbor() -> None:
    centers = AXES[:3, None]
    found = assign(AXES[[0, 0]], np.array([0, 0]), centers)
    assert np.isnan(found.dominant_share[1:]).all()
    other, cosine = nearest_other_class(AXES[[0, 0]], np.array([0, 0]), centers, found)
    assert other.tolist() == [-1, -1]
    assert np.isnan(cosine).all()


def test_the_other_class_is_never_the_own_one_and_ties_go_to_the_lowest() -> None:
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(40, 3, 8)).astype(np.float32)
    centers /= np.linalg.norm(centers, axis=2, keepdims=True)
    centers[7], centers[30] = centers[3], centers[3]
    embeddings = rng.normal(size=(2000, 8)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    labels = rng.integers(0, 40, 2000)
    found = assign(embeddings, labels, centers)
    other, cosine = nearest_other_class(embeddings, labels, centers, found)

    dominant = centers[np.arange(40), found.dominant].astype(np.float64)
    cosines = embeddings @ dominant.T
    cosines[np.arange(2000), labels] = -np.inf
    np.testing.assert_allclose(cosine, cosines.max(axis=1), atol=1e-6)
    np.testing.assert_allclose(cosines[np.arange(2000), other], cosine, atol=1e-6)
    same = found.dominant[3] == found.dominant[7] == found.dominant[30]
    if same:
        assert not np.isin(other[labels != 3], [7, 30]).any()


def test_two_equal_classes_are_each_others_nearest() -> None:
    centers = np.stack([AXES[:1], AXES[:1], AXES[1:2]])
    labels = np.array([0, 1, 2])
    found = assign(AXES[[0, 0, 1]], labels, centers)
    other, cosine = nearest_other_class(AXES[[0, 0, 1]], labels, centers, found)
    assert other.tolist() == [1, 0, 0]
    assert cosine.tolist() == [1, 1, 0]
