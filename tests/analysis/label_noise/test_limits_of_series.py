"""What it takes to be series, on sets in which every distance is known.

Images of a series are at one distance, and all others orthogonal, at distance 1: the valley between the two is the root
of the former.
"""

from __future__ import annotations

import numpy as np
import pytest

from purify.analysis.label_noise.series import series_distance


def found(labels: list[list[int]], distance: float = 0.01, strays: int = 0) -> float | None:
    """Of labels with series of these numbers of images each; the first `strays` single images are of another scene.

    A stray is one more image of the first series of the next label.
    """
    series = [(label, size) for label, sizes in enumerate(labels) for size in sizes]
    first = np.cumsum([0, *[len(sizes) for sizes in labels]])
    label, scene, left = [], [], strays
    for number, (own, size) in enumerate(series):
        stray = size == 1 and left > 0
        left -= stray
        label += [own] * size
        scene += [first[(own + 1) % len(labels)] if stray else number] * size
    n, scenes = len(label), len(series)
    vectors = np.zeros((n, scenes + n), np.float32)
    vectors[np.arange(n), scene] = np.sqrt(1 - distance)
    vectors[np.arange(n), scenes + np.arange(n)] = np.sqrt(distance)
    order = np.random.default_rng(0).permutation(n)
    return series_distance(vectors[order], np.array(label)[order])


@pytest.mark.parametrize("distance", [1e-4, 0.01, 0.06])
def test_the_distance_is_midway_between_that_of_a_series_and_of_two_on_a_scale_of_ratios(distance: float) -> None:
    assert found([[4, 4, 4, 4]] * 8, distance) == pytest.approx(np.sqrt(distance), rel=1e-3)


def test_images_farther_apart_are_no_series() -> None:
    """The root of 0.065 is above a quarter."""
    assert found([[4, 4, 4, 4]] * 8, 0.065) is None


@pytest.mark.parametrize(("sizes", "are"), [([19, 19, 2], True), ([20, 19, 2], False), ([3, 3], False)])
def test_a_twentieth_of_the_images_have_to_be_of_neither_of_the_two_largest_groups(sizes: list[int], are: bool) -> None:
    assert (found([sizes] * 12) is not None) == are


@pytest.mark.parametrize(("single", "are"), [(6, True), (7, False)])
def test_of_these_four_in_ten_need_a_mate(single: int, are: bool) -> None:
    assert (found([[5, 5, 2, 2, *[1] * single]] * 12) is not None) == are


@pytest.mark.parametrize(("strays", "are"), [(0, True), (4, True), (5, False)])
def test_four_in_ten_single_images_may_be_of_a_series_of_another_label(strays: int, are: bool) -> None:
    labels = [[9, 9, 3, 3, 1]] * 10 + [[9, 9, 4, 3]] * 10
    assert (found(labels, strays=strays) is not None) == are


def test_labels_of_three_images_are_not_looked_at() -> None:
    """They would be single images, and many; labels of four are."""
    series = [[4, 4, 2, 2]] * 12
    assert found(series + [[1, 1, 1]] * 60) is not None
    assert found(series + [[1, 1, 1, 1]] * 60) is None


def test_labels_of_which_each_has_the_same_scenes_have_no_series() -> None:
    """One in a thousand pairs of images of two labels may be as near: here one in four hundred are."""
    rng = np.random.default_rng(0)
    scene = np.repeat(np.arange(200), 4)
    vectors = np.zeros((800, 1000), np.float32)
    vectors[np.arange(800), scene] = np.sqrt(0.99)
    vectors[np.arange(800), 200 + np.arange(800)] = 0.1
    label = scene // 5
    assert series_distance(vectors, label) == pytest.approx(0.1, rel=1e-3)
    assert series_distance(vectors, rng.permutation(200)[scene] // 5) == pytest.approx(0.1, rel=1e-3)
    torn = (scene + 5 * (np.arange(800) % 2)) // 5 % 40  # half of each series under the label that comes next
    assert series_distance(vectors, torn) is None
