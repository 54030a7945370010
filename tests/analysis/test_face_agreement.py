"""The face of a photo that agrees with its label, among several."""

from __future__ import annotations

import numpy as np
import pytest

from purify.analysis.face_agreement import agreeing_faces


def people(rng: np.random.Generator, count: int, dim: int = 32) -> np.ndarray:
    vectors = rng.normal(size=(count, dim))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def pictures(rng: np.random.Generator, centers: np.ndarray) -> np.ndarray:
    vectors = centers + 0.1 * rng.normal(size=centers.shape)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("shared", [0.0, 1.0])
def test_the_agreeing_face_is_found_whatever_its_place(shared: float) -> None:
    """Also where all embeddings share a direction."""
    rng = np.random.default_rng(0)
    centers, strangers = people(rng, 5), people(rng, 40)
    rows, photo, label, wanted = [], [], [], {}
    for who in range(5):
        for k in range(6):
            number, faces = 6 * who + k, [centers[who]]
            if k % 2:  # two strangers beside the person, who comes first, second or third
                faces = [strangers[2 * number % 40], strangers[(2 * number + 1) % 40]]
                faces.insert(k // 2, centers[who])
                wanted[number] = k // 2
            rows += faces
            photo += [number] * len(faces)
            label += [who] * len(faces)
    shuffled = rng.permutation(5)[np.array(label)]
    found = agreeing_faces(pictures(rng, np.array(rows) + shared), np.array(photo), shuffled, np.ones(len(rows), bool))
    assert {photo[one.first]: one.row - one.first for one in found} == {n: k for n, k in wanted.items() if k}
    assert all(one.cosine >= one.cosine_first + 0.1 for one in found)
    assert {one.photos for one in found} == {5}


def test_without_enough_to_agree_with_the_first_face_stays() -> None:
    rng = np.random.default_rng(1)
    centers, strangers = people(rng, 4), people(rng, 20)
    # two photos of one label, and a group picture where nobody is of its label
    vectors = [centers[0], strangers[0], centers[0], *[centers[1]] * 4, strangers[1], strangers[2], strangers[3]]
    photo = [0, 1, 1, 2, 3, 4, 5, 6, 6, 6]
    label = [0, 0, 0, 1, 1, 1, 1, 1, 1, 1]
    given = pictures(rng, np.array(vectors)), np.array(photo), np.array(label)
    assert agreeing_faces(*given, np.ones(10, bool)) == []
    assert agreeing_faces(np.empty((0, 8), np.float32), *[np.empty(0, np.int64)] * 2, np.empty(0, bool)) == []


def test_distrusted_photos_do_not_vote() -> None:
    rng = np.random.default_rng(2)
    right, wrong = people(rng, 2)
    vectors = pictures(rng, np.array([wrong, right, *[right] * 3, *[wrong] * 4, *people(rng, 8)]))
    photo = np.array([0, 0, *range(1, 8), *range(8, 16)])
    label = np.array([0, 0, *[0] * 7, *range(1, 9)])
    trusted = np.array([True, True, *[True] * 3, *[False] * 4, *[True] * 8])
    (one,) = agreeing_faces(vectors, photo, label, trusted)
    assert (one.first, one.row, one.photos) == (0, 1, 3)
