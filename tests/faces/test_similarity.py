"""Similarity transforms and crops: exact where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from purify.faces.similarity import TEMPLATE, crop_face, fit_similarity

NUMBERS = st.floats(-200, 200)


@given(st.floats(0.1, 20), st.floats(-np.pi, np.pi), NUMBERS, NUMBERS)
def test_a_similarity_is_found_again(scale: float, angle: float, x: float, y: float) -> None:
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = TEMPLATE @ turn.T + [x, y]
    found = fit_similarity(TEMPLATE, moved)
    np.testing.assert_allclose(found(TEMPLATE), moved, atol=1e-6 * (1 + scale))
    assert found.scale == pytest.approx(scale)
    np.testing.assert_allclose(found.inverse()(moved), TEMPLATE, atol=1e-6)


def test_a_mirrored_face_is_not_mirrored_back() -> None:
    mirrored = TEMPLATE * [-1, 1]
    assert np.linalg.det(fit_similarity(TEMPLATE, mirrored).matrix) > 0


def smooth(height: int, width: int, scale: float = 1.0, left: float = 0.0, top: float = 0.0) -> np.ndarray:
    """A smooth picture as a function of the place in it."""
    y, x = np.mgrid[:height, :width].astype(float)
    x, y = (x + 0.5) * scale + left, (y + 0.5) * scale + top
    channels = [128 + 80 * np.sin(x / 9), 128 + 80 * np.cos(y / 11), 128 + 80 * np.sin((x + y) / 17)]
    return np.stack(channels, -1).round().astype(np.uint8)


@pytest.mark.parametrize("factor", [0.5, 1, 1.7, 3, 8.3])
def test_a_crop_shows_the_same_place_at_any_scale(factor: float) -> None:
    """A photo with `factor` pixels per crop pixel, face away from the corner."""
    side = int(200 * factor)
    photo = smooth(side, side, 1 / factor)
    points = (TEMPLATE + 0.5 + [30, 50]) * factor - 0.5
    crop = crop_face(photo, points, 112)
    expected = smooth(112, 112, 1, 30, 50)
    assert np.abs(crop.astype(int) - expected)[2:-2, 2:-2].max() <= 4


def test_a_turned_face_is_upright_in_its_crop() -> None:
    photo = smooth(112, 112)
    turned = np.ascontiguousarray(np.rot90(photo))
    points = np.stack([TEMPLATE[:, 1], 111 - TEMPLATE[:, 0]], 1)
    crop = crop_face(turned, points, 112)
    assert np.abs(crop.astype(int) - photo)[2:-2, 2:-2].max() <= 3


def test_fine_stripes_become_their_mean_when_reduced() -> None:
    photo = np.zeros((800, 800, 3), np.uint8)
    photo[:, ::2] = 255
    crop = crop_face(photo, (TEMPLATE + 10) * 5.3, 112)
    assert np.abs(crop.astype(int) - 128).max() <= 20  # sampled without a mean: 128


def test_outside_of_the_photo_is_black() -> None:
    crop = crop_face(np.full((60, 60, 3), 200, np.uint8), TEMPLATE - 40, 112)
    assert crop[5, 5].tolist() == [0, 0, 0]
    assert crop[60, 60].tolist() == [200, 200, 200]
    far = crop_face(np.full((60, 60, 3), 200, np.uint8), TEMPLATE + 4000, 112)
    assert far.max() == 0
