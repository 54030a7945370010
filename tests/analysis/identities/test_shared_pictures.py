"""Images of two sets whose picture or person is shared, where it is known which they are."""

from __future__ import annotations

import numpy as np
import pytest

from purify.analysis.identities.shared_pictures import find_shared_pictures
from purify.analysis.search import unit


@pytest.fixture(scope="module")
def sets() -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """A: 60 people of 4 images. B: 40 others of 3; row 0 of B is row 8 of A; rows 1 and 2 show the people 20 and 30."""
    rng = np.random.default_rng(0)
    people = rng.normal(size=(100, 32))
    label_a, label_b = np.repeat(np.arange(60), 4), np.repeat(np.arange(40), 3)
    a = people[label_a] + 0.35 * rng.normal(size=(240, 32))
    b = people[60 + label_b] + 0.35 * rng.normal(size=(120, 32))
    b[0] = a[8] + 0.01 * rng.normal(size=32)
    b[1:3] = people[[20, 30]] + 0.35 * rng.normal(size=(2, 32))
    return a.astype(np.float32), b.astype(np.float32), (label_a, label_b)


def test_the_picture_and_the_people_are_found(sets) -> None:
    a, b, labels = sets
    found = find_shared_pictures(a, b, labels, same_picture=0.99)
    assert found.b.tolist() == [0, 1, 2]
    assert found.a[0] == 8
    assert (labels[0][found.a] == [2, 20, 30]).all()
    assert found.same_picture.tolist() == [True, False, False]
    vectors = np.concatenate([a, b]).astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = unit(vectors - vectors.mean(axis=0))
    cosines = np.einsum("nd,nd->n", vectors[found.a], vectors[240 + found.b])
    np.testing.assert_allclose(found.cosine, cosines, atol=1e-5)
    assert found.threshold == pytest.approx(found.cosine.min())
    assert found.expected_false < 0.01 * 3
    assert found.alike_strangers == 0


def test_without_people_in_common_there_is_no_threshold(sets) -> None:
    a, b, (label_a, label_b) = sets
    found = find_shared_pictures(a, b[3:], (label_a, label_b[3:]), same_picture=0.99)
    assert len(found.a) == len(found.b) == 0
    assert found.threshold is None
    assert found.expected_false == 0


def test_up_to_five_equal_pictures_of_one_image_nearest_first(sets) -> None:
    a, b, (label_a, label_b) = sets
    copies = np.repeat(b[:1], 7, axis=0) + 1e-3 * np.arange(7)[:, None].astype(np.float32) * b[5]
    found = find_shared_pictures(
        np.concatenate([a, copies]), b, (np.r_[label_a, np.full(7, 60)], label_b), same_picture=0.99
    )
    pictures = found.a[found.b == 0]
    assert pictures.tolist() == [240, 241, 242, 243, 244]
    assert found.same_picture[found.b == 0].all()
    assert (np.diff(found.cosine[found.b == 0]) <= 0).all()


def test_a_low_cosine_for_a_picture_is_shown_by_strangers_that_reach_it(sets) -> None:
    """Two images of each label are looked at: of 60 and 40 labels, those whose nearest other label is nearer."""
    a, b, labels = sets
    vectors = np.concatenate([a, b]).astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = unit(vectors - vectors.mean(axis=0))
    nearest = []
    for rows, label in ((vectors[:240], labels[0]), (vectors[240:], labels[1])):
        few = np.concatenate([np.flatnonzero(label == one)[:2] for one in range(label.max() + 1)])
        cosines = rows[few] @ rows[few].T
        cosines[label[few][:, None] == label[few]] = -2
        nearest.append(cosines.max(axis=1))
    limit = 0.35
    expected = (np.concatenate(nearest) > limit).mean()
    assert 0.1 < expected < 0.9
    assert find_shared_pictures(a, b, labels, same_picture=limit).alike_strangers == pytest.approx(expected)
