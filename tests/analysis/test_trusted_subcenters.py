"""Sub-centers of the trusted and of the doubted images of a class, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from purify.analysis.search import unit
from purify.analysis.subcenters import SubcenterSpace, trusted_subcenters

AXES = np.eye(6, dtype=np.float32)


def found(shown: list[int], p_clean: list[float], subcenters: int) -> SubcenterSpace:
    """Images that show these axes under label 1; label 0 has two of the last axis, and label 2 none."""
    vectors = np.concatenate([AXES[[5, 5]], AXES[shown]])
    label = np.r_[0, 0, np.ones(len(shown), int)]
    return trusted_subcenters(vectors, label, np.r_[1.0, 1.0, p_clean], 3, subcenters=subcenters)


def test_the_first_is_the_mean_by_probability_and_the_others_are_of_doubted_images_in_halves() -> None:
    space = found([0, 0, 0, 0, 1, 1, 1, 2, 2], [0.9, 0.9, 0.9, 0.9, 0.2, 0.2, 0.2, 0.1, 0.1], 3)
    np.testing.assert_allclose(space.subcenters[1, 0], unit(np.array([3.6, 0.6, 0.2, 0, 0, 0])), atol=1e-6)
    assert sorted(space.subcenters[1, 1:].round(5).tolist()) == sorted(AXES[[1, 2]].tolist())
    np.testing.assert_allclose(space.subcenters[0], np.tile(AXES[5], (3, 1)))
    assert not space.subcenters[2].any()
    assert space.embeddings.shape == (11, 6)


def test_the_larger_half_is_halved_again() -> None:
    shown = [0, 0, 1, 1, 1, 2, 2, 2, 2, 3, 3]
    p_clean = [0.9, 0.9, *[0.1] * 9]
    assert sorted(found(shown, p_clean, 4).subcenters[1, 1:].round(5).tolist()) == sorted(AXES[[1, 2, 3]].tolist())


@pytest.mark.parametrize(("p", "doubted"), [(0.5, False), (0.49, True)])
def test_images_more_probably_wrong_than_right_are_doubted(p: float, doubted: bool) -> None:
    centers = found([0, 0, 0, 1], [0.9, 0.9, 0.9, p], 2).subcenters[1]
    assert np.allclose(centers[1], AXES[1]) == doubted
    assert np.allclose(centers[1], centers[0]) != doubted


def test_one_doubted_image_has_no_halves_and_one_sub_center_is_that_of_all() -> None:
    space = found([0, 0, 0, 1], [0.9, 0.9, 0.9, 0.1], 3)
    np.testing.assert_allclose(space.subcenters[1, 1], AXES[1])
    np.testing.assert_array_equal(space.subcenters[1, 2], space.subcenters[1, 0])
    assert found([0, 1], [0.9, 0.1], 1).subcenters.shape == (3, 1, 6)


def test_a_class_of_images_surely_wrong_still_has_a_mean() -> None:
    centers = found([0, 1], [0.0, 0.0], 2).subcenters[1]
    np.testing.assert_allclose(centers[0], unit(AXES[0] + AXES[1]), atol=1e-6)
