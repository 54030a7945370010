"""Sets of images compared as one person's or two persons', once more by the densities, and by a full ranking."""

from __future__ import annotations

import numpy as np
import pytest

from purify.analysis.class_rows import ImageGroups
from purify.analysis.identities.plda import IdentityModel
from purify.analysis.identities.set_comparison import ImageSets, SetComparison
from purify.analysis.search import unit


def log_density(x: np.ndarray, covariance: np.ndarray) -> float:
    """Of a Gaussian around 0."""
    return float(-0.5 * (x @ np.linalg.solve(covariance, x) + np.linalg.slogdet(2 * np.pi * covariance)[1]))


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 5), (4, 3), (20, 20)])
def test_the_ratio_of_two_sets_is_that_of_the_joint_gaussians(n: int, m: int) -> None:
    rng = np.random.default_rng(n + m)
    psi = np.array([0.2, 3.0, 20.0])
    model = IdentityModel(np.eye(3, dtype=np.float32), psi.astype(np.float32))
    one, other = rng.normal(size=(n, 3)) + 2, rng.normal(size=(m, 3)) - [1, -2, 3]
    wanted = 0.0
    for k in range(3):
        together = np.eye(n + m) + psi[k]
        apart = together.copy()
        apart[:n, n:] = apart[n:, :n] = 0
        images = np.r_[one[:, k], other[:, k]]
        wanted += log_density(images, together) - log_density(images, apart)
    means = [images.mean(axis=0).astype(np.float32) for images in (one, other)]
    sizes = np.array([float(n)]), np.array([float(m)])
    found = model.log_ratio_of_sets(means[0][None], sizes[0], means[1][None], sizes[1])
    assert found[0] == pytest.approx(wanted, rel=1e-3, abs=1e-3)
    swapped = model.log_ratio_of_sets(means[1][None], sizes[1], means[0][None], sizes[0])
    assert swapped[0] == pytest.approx(found[0], rel=1e-4)


def test_pictures_of_one_occasion_are_no_further_evidence() -> None:
    model = IdentityModel(np.eye(2, dtype=np.float32), np.full(2, 3.0, np.float32))
    at = np.full((3, 2), 1.5, np.float32)
    found = model.log_ratio_of_sets(at, np.array([0.2, 1.0, 1.0]), at, np.array([20.0, 20.0, 900.0]))
    assert found[0] == found[1] == found[2]


def sets(labels: int) -> tuple[ImageGroups, SetComparison]:
    rng = np.random.default_rng(0)
    size = 2 + np.arange(labels) % 5
    label = np.repeat(np.arange(labels), size)
    people = rng.normal(size=(labels, 10))
    people[::3] = people[0] + 0.9 * rng.normal(size=(len(people[::3]), 10))  # a crowd that looks alike
    vectors = unit(people[label] + 0.7 * rng.normal(size=(len(label), 10)))
    members = ImageGroups(vectors, [np.flatnonzero(label == k) for k in range(labels)])
    return members, SetComparison.of(members)


def taken(given: ImageSets, at: np.ndarray | list[int]) -> ImageSets:
    return ImageSets(given.center[at], given.mean[at], given.size[at])


@pytest.mark.parametrize("labels", [60, 25, 12, 5])
def test_rivals_are_the_nearest_other_labels_and_the_background_those_that_come_next(labels: int) -> None:
    members, comparison = sets(labels)
    found = comparison.rivals(comparison.sets, np.arange(labels))
    means = np.stack([rows.mean(axis=0) for rows in members])
    centers = unit(means)
    np.testing.assert_allclose(comparison.sets.center, centers, atol=1e-5)
    width = min(24, labels - 1)
    assert found.found.shape == found.log_ratio.shape == (labels, width)
    for label in range(labels):
        nearest = [k for k in np.argsort(-(centers @ centers[label]), kind="stable").tolist() if k != label]
        assert set(found.found[label].tolist()) == set(nearest[:width])
        ratio = comparison.log_ratio(
            taken(comparison.sets, [label] * width), taken(comparison.sets, found.found[label])
        )
        np.testing.assert_allclose(found.log_ratio[label], ratio, rtol=1e-3, atol=1e-3)
        next_ones = np.sort(ratio)[::-1][3:20]
        assert found.background[label] == pytest.approx(max(float(next_ones.mean()), 0), rel=1e-3, abs=1e-3)


def test_a_part_of_a_label_has_the_other_labels_for_rivals() -> None:
    members, comparison = sets(30)
    parts = ImageSets.of(
        ImageGroups(members.vectors, [members.members[4][:2], members.members[9][:1]]), comparison.model
    )
    assert parts.size.tolist() == [2, 1]
    found = comparison.rivals(parts, np.array([4, 9]))
    assert not (found.found == np.array([[4], [9]])).any()
    assert (found.found >= 0).all()
    np.testing.assert_allclose(parts.mean[0], comparison.model.coordinates(members[4][:2].mean(axis=0)), atol=1e-4)
