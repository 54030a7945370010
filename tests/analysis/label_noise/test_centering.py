from __future__ import annotations

import numpy as np
import pytest

from purify.analysis.label_noise.centering import centered


def embeddings(dtype=np.float32) -> np.ndarray:
    rng = np.random.default_rng(0)
    return ((rng.normal(size=(200, 24)) + 2) * rng.lognormal(size=(200, 1))).astype(dtype)


def test_vectors_are_unit_directions_around_the_mean_direction() -> None:
    given = embeddings().astype(float)
    direction = given / np.linalg.norm(given, axis=1, keepdims=True)
    moved = direction - direction.mean(axis=0)
    wanted = moved / np.linalg.norm(moved, axis=1, keepdims=True)
    found = centered(embeddings())
    assert found.vectors.dtype == np.float32
    np.testing.assert_allclose(found.vectors, wanted, atol=1e-5)


@pytest.mark.parametrize("scale", [1e-3, 1e3, 1e-30, 1e30])
def test_scale_does_not_matter(scale) -> None:
    one, other = centered(embeddings()), centered(embeddings() * np.float32(scale))
    np.testing.assert_allclose(other.vectors, one.vectors, atol=1e-5)
    np.testing.assert_allclose(other.quality, one.quality, atol=1e-4)


def test_quality_follows_the_length_and_the_distance_from_the_mean() -> None:
    given = embeddings()
    direction = given / np.linalg.norm(given, axis=1, keepdims=True)
    distance = np.linalg.norm(direction - direction.mean(axis=0), axis=1)
    length, away = centered(given).quality.T
    assert (np.diff(length[np.argsort(np.linalg.norm(given, axis=1))]) >= 0).all()
    assert (np.diff(away[np.argsort(distance)]) >= -1e-6).all()
    np.testing.assert_allclose(np.median([length, away], axis=1), 0, atol=1e-9)


def test_lengths_that_say_nothing_are_all_equal_and_a_far_one_is_clipped() -> None:
    given = embeddings()
    given /= np.linalg.norm(given, axis=1, keepdims=True)
    assert not centered(given).quality[:, 0].any()
    given[0] *= 1e-20
    length = centered(given).quality[:, 0]
    assert length[0] == -3.5
    assert np.abs(length[1:]).max() < 0.1


def test_an_embedding_of_zeros_has_coordinates() -> None:
    given = embeddings()
    given[3] = 0
    found = centered(given)
    assert np.isfinite(found.vectors).all()
    assert np.isfinite(found.quality).all()
    assert found.quality[3, 0] == found.quality[:, 0].min()
