from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest

from purify.analysis.label_noise.halves import (
    HalvesScale,
    halves_of,
    most_alike_classes,
    similarity_of_halves,
    without_second_people,
)
from purify.analysis.label_noise.mode_seeking import stack, unit
from purify.arrays import Mask, Vectors

_DIM, _SPREAD = 32, 0.1


def images(rng: np.random.Generator, center: Vectors, count: int) -> Vectors:
    return unit((center + _SPREAD * rng.normal(size=(count, _DIM))).astype(np.float32))


def two_people(rng: np.random.Generator, first: int, second: int, alike: float = 0.6) -> Vectors:
    """Images of two people whose centers have the cosine `alike`."""
    centers = np.zeros((2, _DIM), np.float32)
    centers[0, 0], centers[1, :2] = 1, (alike, np.sqrt(1 - alike**2))
    return np.concatenate([images(rng, centers[0], first), images(rng, centers[1], second)])


def test_the_line_between_two_people_is_found_and_their_likeness_measured() -> None:
    halves = halves_of(two_people(np.random.default_rng(0), 9, 6, alike=0.6))
    assert halves is not None
    assert halves.is_second(two_people(np.random.default_rng(1), 5, 5, alike=0.6)).tolist() == [False] * 5 + [True] * 5
    assert halves.similarity == pytest.approx(0.6, abs=0.1)


def test_the_similarity_of_halves_is_that_of_their_images() -> None:
    """Two arcs of one plane, by hand: mean cosine across of 60 degrees' pairs, relative to those within."""
    degrees = np.radians([0, 10, 20, 60, 70, 80])
    rows = np.stack([np.cos(degrees), np.sin(degrees)], axis=1).astype(np.float32)
    halves = halves_of(rows)
    assert halves is not None
    across = np.cos(degrees[:3, None] - degrees[None, 3:]).mean()
    within = (2 * np.cos(np.radians(10)) + np.cos(np.radians(20))) / 3
    assert halves.similarity == pytest.approx(across / within, abs=1e-6)


def test_few_images_and_lone_ones_have_no_halves() -> None:
    rng = np.random.default_rng(0)
    assert halves_of(two_people(rng, 3, 2)) is None
    assert halves_of(two_people(rng, 8, 2, alike=0.0)) is None
    assert halves_of(np.tile(two_people(rng, 1, 0), (8, 1))) is None


def test_large_sets_are_divided_by_evenly_spaced_rows() -> None:
    rows = two_people(np.random.default_rng(0), 700, 500)
    halves = halves_of(rows)
    assert halves is not None
    assert (halves.is_second(rows) == (np.arange(1200) >= 700)).all()


def test_sets_of_any_size_are_halved_as_alone() -> None:
    rng = np.random.default_rng(4)
    sizes = [3, 6, 7, 7, 12, 250, 6, 40]
    vectors = np.concatenate([two_people(rng, size - size // 3, size // 3, 0.4) for size in sizes])
    members = np.split(rng.permutation(len(vectors)), np.cumsum(sizes)[:-1])
    alone = [halves_of(vectors[own]) for own in members]
    expected = [np.nan if one is None else one.similarity for one in alone]
    assert np.isnan(expected[0])
    np.testing.assert_allclose(similarity_of_halves(vectors, members), expected, atol=1e-6)


def test_different_people_as_alike_as_halves_tell_nothing() -> None:
    scale = HalvesScale.between(0.9, np.array([0.8, 0.85]))
    assert np.isnan([scale.two_people, scale.one_person, scale.same]).all()


def test_one_person_and_two_are_told_apart_midway() -> None:
    similarities = np.r_[np.full(8, 0.5), 0.9, 0.9, 0.9, np.nan]
    scale = HalvesScale.between(0.5, similarities)
    assert (scale.two_people, scale.one_person) == pytest.approx((0.7, 2.3 / 3))
    nothing = HalvesScale.between(0.5, np.array([]))
    assert np.isnan([nothing.two_people, nothing.one_person]).all()


def test_the_likeness_of_different_classes_ignores_a_single_pair() -> None:
    """By 60 random directions: the 99 % quantile of a normal distribution of cosines, not the duplicate's 1."""
    rng = np.random.default_rng(0)
    centers = unit(rng.normal(size=(60, _DIM)).astype(np.float32))
    centers[1] = centers[0]
    groups = stack([images(rng, center, 40) for center in centers])
    a, b = np.triu_indices(60, 1)
    assert most_alike_classes(groups, a, b) == pytest.approx(2.326 / np.sqrt(_DIM), abs=0.06)


@dataclass(frozen=True)
class Crowd:
    """28 classes of ten images of one person each, one of two people, and the own one of the second of these."""

    vectors: Vectors
    label: npt.NDArray[np.int64]

    @classmethod
    def draw(cls, first: int, second: int, *, classes: int = 30, own: int = 10) -> Crowd:
        rng = np.random.default_rng(3)
        shared = two_people(rng, first, second + own)
        centers = unit(rng.normal(size=(classes - 2, _DIM)).astype(np.float32))
        vectors = np.concatenate([*(images(rng, center, 10) for center in centers), shared])
        sizes = [*[10] * (classes - 2), first + second, own]
        return cls(vectors, np.repeat(np.arange(classes), sizes))

    def kept(self, dense: Mask | None = None) -> Mask:
        every = np.ones(len(self.label), np.bool_) if dense is None else dense
        return without_second_people(self.vectors, self.label, int(self.label.max()) + 1, every)


def test_the_smaller_half_does_not_count_if_it_shows_the_person_of_another_class() -> None:
    crowd = Crowd.draw(8, 5)
    kept = crowd.kept()
    assert kept[crowd.label == 28].tolist() == [True] * 8 + [False] * 5
    assert kept[crowd.label != 28].all()


def test_the_larger_half_counts_whoever_it_shows() -> None:
    crowd = Crowd.draw(5, 8)
    assert crowd.kept().all()  # the smaller half, of the first person, has no class of its own


def test_a_second_person_without_a_class_may_be_another_look() -> None:
    assert Crowd.draw(8, 5, own=0).kept().all()


def test_images_away_from_the_dense_region_stay_away() -> None:
    crowd = Crowd.draw(8, 5)
    dense = (np.random.default_rng(0).random(len(crowd.label)) < 0.9) | (crowd.label >= 28)
    kept = crowd.kept(dense)
    assert (kept == dense)[crowd.label != 28].all()
    assert kept[crowd.label == 28].sum() == 8


def test_with_few_labels_nobody_knows_how_alike_people_are() -> None:
    assert Crowd.draw(8, 5, classes=11).kept().all()
