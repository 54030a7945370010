from __future__ import annotations

import numpy as np
import pytest

from purify.analysis.label_noise.repeated_pictures import first_of_each_picture

LIMIT = 0.95


def pictures(*angles: float) -> np.ndarray:
    """Unit vectors at angles in degrees; 18.2 degrees are a cosine of 0.95."""
    radians = np.radians(angles)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def test_a_near_duplicate_counts_as_the_first_of_its_picture_within_its_label() -> None:
    vectors, label = pictures(0, 10, 90, 5, 95, 200), np.array([1, 0, 0, 1, 0, 0])
    found = first_of_each_picture(vectors, label, LIMIT)
    assert found.tolist() == [0, 1, 2, 0, 2, 5]  # row 1 is like row 0, but under another label


def test_chains_of_near_duplicates_lead_to_their_first() -> None:
    vectors = pictures(0, 15, 30, 45, 60)
    assert first_of_each_picture(vectors, np.zeros(5, int), LIMIT).tolist() == [0] * 5


def test_the_limit_itself_is_another_picture() -> None:
    vectors = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    assert first_of_each_picture(vectors, np.zeros(3, int), 1.0).tolist() == [0, 1, 2]
    assert first_of_each_picture(vectors, np.zeros(3, int), np.nextafter(1, 0)).tolist() == [0, 0, 2]


@pytest.mark.parametrize("rows", [1024, 1025, 2500])
def test_a_label_of_several_blocks_finds_duplicates_across_them(rows: int) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(rows, 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[-1], vectors[rows // 2 + 1], vectors[1000] = vectors[3], vectors[rows // 2], vectors[7]
    expected = np.arange(rows)
    expected[[rows - 1, rows // 2 + 1, 1000]] = 3, rows // 2, 7
    assert (first_of_each_picture(vectors, np.zeros(rows, int), LIMIT) == expected).all()


def test_no_images() -> None:
    assert len(first_of_each_picture(np.empty((0, 4), np.float32), np.empty(0, int), LIMIT)) == 0
