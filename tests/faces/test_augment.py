from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from purify.faces.augment import Augmentation, augment, random_views, view_draws
from purify.faces.masks import MASK_DRAWS, cover_lower_face

STILL = Augmentation(flip=0, shift=0, zoom=0, rotate=0, light=0, gray=0)
ROWS = np.arange(12)
IMAGES = torch.randint(0, 256, (12, 3, 24, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def _views(augmentation: Augmentation, *, seed: int = 0, step: int = 0) -> torch.Tensor:
    return augment(IMAGES, augmentation, torch.from_numpy(view_draws(ROWS, seed=seed, step=step)))


@given(st.permutations(range(12)), st.integers(0, 2**40), st.integers(0, 2**40))
def test_the_draws_of_an_image_do_not_depend_on_its_batch(order: list[int], seed: int, step: int) -> None:
    rows = np.array(order)
    whole, part = view_draws(ROWS, seed=seed, step=step), view_draws(rows[:5], seed=seed, step=step)
    np.testing.assert_array_equal(part, whole[rows[:5]])


def test_draws_are_uniform_and_change_with_seed_step_and_row() -> None:
    draws = view_draws(np.arange(4000), seed=1, step=2)
    assert 0 <= draws.min() < 0.01
    assert 0.99 < draws.max() < 1
    np.testing.assert_allclose(draws.mean(axis=0), 0.5, atol=0.03)
    correlation = np.corrcoef(np.vstack([draws.T, np.roll(draws, 1, axis=0).T]))
    assert np.abs(correlation - np.eye(len(correlation))).max() < 0.08
    for other in (view_draws(np.arange(4000), seed=2, step=2), view_draws(np.arange(4000), seed=1, step=3)):
        assert abs(np.corrcoef(draws.ravel(), other.ravel())[0, 1]) < 0.02


def test_without_strength_a_view_is_the_image() -> None:
    torch.testing.assert_close(_views(STILL), IMAGES.float(), atol=1e-2, rtol=0)
    mirrored = _views(Augmentation(flip=1, shift=0, zoom=0, rotate=0, light=0, gray=0))
    torch.testing.assert_close(mirrored, IMAGES.float().flip(3), atol=1e-2, rtol=0)


def test_a_seed_and_a_step_mean_the_same_views_everywhere() -> None:
    strong = Augmentation(mask=0.5)
    views = random_views(IMAGES.numpy(), ROWS, strong, seed=3, step=4, device=torch.device("cpu"))
    assert views.is_contiguous(memory_format=torch.channels_last)
    again = random_views(IMAGES.numpy()[6:], ROWS[6:], strong, seed=3, step=4, device=torch.device("cpu"))
    torch.testing.assert_close(views[6:], again, atol=1e-5, rtol=0)
    assert not torch.allclose(views, (_views(strong, seed=3, step=5) - 127.5) / 127.5, atol=0.1)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_masks_cover_the_asked_share_of_the_views(share: float) -> None:
    rows = np.arange(600)
    images = torch.full((600, 3, 8, 8), 127, dtype=torch.uint8)
    still = Augmentation(flip=0, shift=0, zoom=0, rotate=0, light=0, gray=0, mask=share)
    views = augment(images, still, torch.from_numpy(view_draws(rows, seed=0, step=0)))
    changed = (views - 127).abs().amax(dim=(1, 2, 3)) > 1
    assert changed.float().mean().item() == pytest.approx(share, abs=0.07)


@given(st.integers(0, 2**32))
def test_a_mask_lies_over_mouth_and_chin_and_leaves_the_eyes_free(seed: int) -> None:
    size = 112
    images = torch.full((8, 3, size, size), -1.0)
    draws = torch.rand(8, MASK_DRAWS, generator=torch.Generator().manual_seed(seed))
    covered = cover_lower_face(images, draws)
    assert ((covered == -1) | (covered >= -1)).all()
    assert covered.max() <= 255
    hidden = (covered != -1).all(dim=1)
    left_eye, right_eye, left_mouth, right_mouth = (38, 52), (74, 52), (42, 92), (71, 92)  # the template's points
    for x, y in (left_eye, right_eye):
        assert not hidden[:, y - 3 : y + 4, x - 3 : x + 4].any()
    for x, y in (left_mouth, right_mouth, (56, 104)):
        assert hidden[:, y, x].all()
    assert not hidden[:, : size // 2 - 8].any()
