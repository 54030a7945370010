"""Right but unrecognizable images, on drawn evidence whose dependence on quality is known."""

from __future__ import annotations

import numpy as np
import pytest

from purify.analysis.label_noise.comparison import ImageTraits
from purify.analysis.label_noise.hardness import first_hardness, measure_hardness

IMAGES = 6000


def drawn(harm: float) -> tuple[np.ndarray, np.ndarray, ImageTraits]:
    """Evidence that falls by `harm` with the square of a length below zero; mates; traits."""
    rng = np.random.default_rng(0)
    quality, background = rng.normal(size=(IMAGES, 2)), rng.normal(size=IMAGES)
    mates = rng.integers(1, 40, IMAGES).astype(float)
    own = 60 + 20 * np.log(np.clip(mates, 1, 20)) + 8 * rng.normal(size=IMAGES)
    own -= harm * np.minimum(quality[:, 0], 0) ** 2
    traits = ImageTraits(quality, background, np.zeros((IMAGES, 2)), np.full(IMAGES, -1))
    return own, mates, traits


def measured(harm: float, **changed: object) -> np.ndarray:
    own, mates, traits = drawn(harm)
    several = changed.pop("several", np.ones(IMAGES, bool))
    p_clean = changed.pop("p_clean", np.full(IMAGES, 0.9))
    return measure_hardness(own, mates, p_clean, traits, several=several, strangers=changed.pop("strangers", 0.1))


def test_before_anything_is_measured_one_in_a_thousand_is_hard() -> None:
    assert first_hardness(3).tolist() == [1e-3] * 3


def test_images_of_low_quality_are_hard_and_those_of_usual_quality_are_not() -> None:
    _, _, traits = drawn(12.0)
    length = traits.quality[:, 0]
    hard = measured(12.0)
    assert hard[length < -2.5].min() > 20 * np.median(hard)
    assert hard.max() == pytest.approx(0.03)
    assert hard.min() >= 1e-5
    assert np.median(hard[np.abs(length) < 0.3]) < 1e-3
    assert np.median(hard[length > 2]) < 1e-3  # a long vector is no sign of it


def test_where_quality_tells_nothing_all_are_as_hard_as_usual() -> None:
    """The risk is that of every image: its square is 1, and the share of the usual ones is left, as a mean."""
    hard = measured(0.0)
    assert np.median(hard) == pytest.approx(1e-3, rel=0.3)
    assert np.quantile(hard, 0.9) < 2.5e-3


def test_there_are_no_more_hard_images_than_strangers() -> None:
    few, usual, many = (measured(12.0, strangers=share) for share in (1e-4, 1e-3, 0.5))
    np.testing.assert_array_equal(usual, many)
    inside = (usual < 0.029) & (few > 1.1e-5)
    assert inside.sum() > 400
    np.testing.assert_allclose(few[inside], usual[inside] / 10)


def test_images_alone_under_their_label_and_wrong_ones_say_nothing() -> None:
    own, mates, traits = drawn(12.0)
    several = np.arange(IMAGES) % 3 > 0
    whole = measure_hardness(own, mates, np.full(IMAGES, 0.9), traits, several=several, strangers=0.1)
    own = np.where(several, own, -500.0)
    np.testing.assert_allclose(
        measure_hardness(own, mates, np.full(IMAGES, 0.9), traits, several=several, strangers=0.1), whole
    )
    own, mates, traits = drawn(12.0)
    p_clean = np.where(several, 0.9, 0.0)
    trusted = measure_hardness(own, mates, p_clean, traits, several=np.ones(IMAGES, bool), strangers=0.1)
    misled = np.where(several, own, 500.0)
    found = measure_hardness(misled, mates, p_clean, traits, several=np.ones(IMAGES, bool), strangers=0.1)
    np.testing.assert_allclose(found, trusted, rtol=1e-6)


def test_the_number_of_mates_is_no_quality() -> None:
    """Evidence grows with the mates; of labels of few images no more are hard for it."""
    hard, mates = measured(12.0), drawn(12.0)[1]
    assert hard[mates < 4].mean() == pytest.approx(hard[mates > 15].mean(), rel=0.25)
