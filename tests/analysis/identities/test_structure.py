from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purify.analysis.identities.null_thresholds import LEAST_IMAGES, NullThresholds
from purify.analysis.identities.prototypes import poisson_tail
from purify.analysis.identities.structure import Structure, find_structure
from purify.analysis.label_noise.mode_seeking import CosineScale, bisect, densest, distinct, stack, unit

DIM = 32
SPREAD = 0.12


@dataclass(frozen=True)
class People:
    """Images of people under labels."""

    vectors: npt.NDArray[np.float32]
    label: npt.NDArray[np.int64]
    person: npt.NDArray[np.int64]

    def find(self, classes: int | None = None) -> Structure:
        count = int(self.label.max()) + 1 if classes is None else classes
        return find_structure(self.vectors, self.label, count, np.ones(len(self.label)))


def make_people(*shown: tuple[int, int, int], classes: int = 40, strangers: int = 0, seed: int = 0) -> People:
    """Classes of 12 images of the person with the class's number, and (label, person, images) that are `shown`."""
    rng = np.random.default_rng(seed)
    plain = [(label, label, 12) for label in range(classes)]
    label, person, count = (np.array(column) for column in zip(*plain, *shown, strict=True))
    label, person = np.repeat(label, count), np.repeat(person, count)
    label = np.r_[label, rng.integers(0, classes, strangers)]
    person = np.r_[person, np.arange(1000, 1000 + strangers)]
    centers = rng.normal(size=(1000 + strangers, DIM)) / np.sqrt(DIM)
    vectors = centers[person] + SPREAD * rng.normal(size=(len(person), DIM))
    return People(unit(vectors.astype(np.float32)), label.astype(np.int64), person.astype(np.int64))


def test_people_of_their_own_are_left_alone() -> None:
    people = make_people(strangers=80)
    found = people.find()
    assert not found.mixed.any()
    assert found.merges == ()
    assert (found.group[people.person < 40] == 0).all()
    assert (found.group[people.person >= 1000] == -1).mean() > 0.8


@pytest.mark.parametrize(("images", "merged"), [(6, True), (24, False)])
def test_sisters_with_many_images_are_two_people_where_small_parts_vary(images: int, merged: bool) -> None:
    """Some images of all are of covered faces, so that parts of five images of one person vary as much as sisters."""
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(40, DIM)) / np.sqrt(DIM)
    centers[1] = centers[0] + 0.06 * rng.normal(size=DIM)
    covered = rng.normal(size=DIM) / np.sqrt(DIM)
    count = np.r_[images, images, np.full(38, 24)]
    label = np.repeat(np.arange(40), count)
    is_covered = rng.random(len(label)) < 0.35
    vectors = centers[label] + SPREAD * rng.normal(size=(len(label), DIM)) + is_covered[:, None] * 0.9 * covered
    found = find_structure(unit(vectors.astype(np.float32)), label, 40, np.ones(len(label)))
    assert [{merge.label, merge.into} for merge in found.merges] == ([{0, 1}] if merged else [])
    assert found.sure_merges == ()  # less alike than nine in ten parts of a label


def test_larger_groups_have_to_be_more_alike() -> None:
    scale = CosineScale(0.1, 0.1)
    thresholds = NullThresholds(scale, scale, 0.5, np.zeros(1), np.zeros(1), different=0.5, same=0.8)
    sizes = np.array([3, 5, 20, 500])
    np.testing.assert_allclose(thresholds.possibly_same(sizes), [0.8, 0.8, 0.9, 0.9])
    np.testing.assert_allclose(thresholds.surely_same(sizes), [0.8898, 0.8898, 0.9449, 0.9449], atol=1e-4)


def test_a_sure_merge_comes_before_a_doubtful_one_with_a_larger_label() -> None:
    rng = np.random.default_rng(1)
    centers = rng.normal(size=(40, DIM)) / np.sqrt(DIM)
    centers[1], centers[2] = centers[0], centers[0] + 0.06 * rng.normal(size=DIM)
    label = np.repeat(np.arange(40), np.r_[6, 10, 48, np.full(37, 24)])
    covered = (rng.random(len(label)) < 0.35)[:, None] * 0.9 * rng.normal(size=DIM) / np.sqrt(DIM)
    vectors = centers[label] + SPREAD * rng.normal(size=(len(label), DIM)) + covered
    found = find_structure(unit(vectors.astype(np.float32)), label, 40, np.ones(len(label)))
    assert [(merge.label, merge.into) for merge in found.sure_merges] == [(0, 1)]


def test_a_second_person_under_a_label_is_a_group_of_their_own() -> None:
    people = make_people((3, 500, 8), strangers=40)
    found = people.find()
    assert np.flatnonzero(found.mixed).tolist() == [3]
    own = people.label == 3
    assert (found.group[own & (people.person == 3)] == 0).all()
    assert (found.group[own & (people.person == 500)] == 1).all()
    assert found.merges == ()


def test_the_majority_is_the_dominant_person_even_if_they_are_the_wrong_one() -> None:
    people = make_people((3, 500, 90))
    found = people.find()
    assert np.flatnonzero(found.mixed).tolist() == [3]
    assert (found.group[people.person == 500] == 0).all()
    assert (found.group[people.person == 3] == 1).all()


def test_trust_decides_between_groups_of_about_one_size() -> None:
    people = make_people((3, 500, 13))
    trusted = np.where(people.person == 3, 1.0, 0.0)
    found = find_structure(people.vectors, people.label, 40, trusted)
    assert (found.group[people.person == 500] == 1).all()


def test_three_people_under_a_label() -> None:
    people = make_people((3, 500, 10), (3, 501, 8))
    found = people.find()
    assert found.mixed[3]
    for person, group in ((3, 0), (500, 1), (501, 2)):
        assert (found.group[people.person == person] == group).all()


def test_a_class_shared_with_another_classs_person_is_mixed_and_not_merged() -> None:
    people = make_people((3, 7, 30))
    found = people.find()
    assert np.flatnonzero(found.mixed).tolist() == [3]
    assert found.merges == ()


def test_companions_that_chance_explains_are_no_second_person() -> None:
    """Class 40 has half of all images, so wrong labels bring several of its person to a class."""
    prototypes = make_people((40, 40, 480), *((3, 100 + i, 1) for i in range(16)), (3, 40, 6))
    assert not prototypes.find().mixed[3]
    rare = make_people(*((3, 100 + i, 1) for i in range(16)), (3, 500, 6))
    assert rare.find().mixed[3]


def test_copies_of_one_picture_are_no_person() -> None:
    people = make_people((3, 500, 1))
    copies = np.full(9, np.flatnonzero(people.person == 500)[0])
    every = np.r_[np.arange(len(people.label)), copies]
    found = People(people.vectors[every], people.label[every], people.person[every]).find()
    assert not found.mixed.any()


def test_one_person_under_two_labels() -> None:
    people = make_people((40, 5, 6), strangers=40)
    found = people.find()
    assert [(merge.label, merge.into) for merge in found.merges] == [(40, 5)]
    assert found.merges[0].cosine > 0.9
    evidence = found.merges[0].evidence
    assert people.label[evidence].tolist() == [40, 40, 40, 5, 5]
    assert (people.person[evidence] == 5).all()
    assert not found.mixed.any()


def test_equal_sizes_are_merged_into_the_lower_number() -> None:
    assert [(merge.label, merge.into) for merge in make_people((40, 5, 12)).find().merges] == [(40, 5)]


def test_three_labels_of_one_person_merge_into_the_largest() -> None:
    merges = make_people((40, 5, 20), (41, 5, 8)).find().merges
    assert [(merge.label, merge.into) for merge in merges] == [(5, 40), (41, 40)]


def test_strangers_with_one_image_of_somebody_are_no_second_name() -> None:
    """Their own cohesion is about 0; relative to it, any label is alike."""
    rng = np.random.default_rng(52)

    def images(center: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.float32]:
        return unit(center + 0.8 * unit(rng.normal(size=(count, 256)).astype(np.float32)))

    people = unit(rng.normal(size=(30, 256)).astype(np.float32))
    images(people[0], 9)  # drawn to get to strangers that were merged by chance
    own = [images(people[[label]], 12) for label in range(1, 30)]
    strangers = unit(rng.normal(size=(5, 256)).astype(np.float32))
    vectors = np.concatenate([images(people[[1]], 1), strangers, *own])
    label = np.r_[np.zeros(6, np.int64), np.repeat(np.arange(1, 30), 12)]
    assert (vectors[:6] @ vectors[:6].T)[np.triu_indices(6, 1)].mean() < 0.1
    assert find_structure(vectors, label, 30, np.full(len(label), 0.9)).merges == ()


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_order_of_the_rows_does_not_matter(seed: int) -> None:
    people = make_people((3, 500, 9), (40, 5, 7), strangers=60)
    order = np.random.default_rng(seed).permutation(len(people.label))
    straight = people.find()
    moved = People(people.vectors[order], people.label[order], people.person[order]).find()
    assert (moved.group == straight.group[order]).all()
    assert (moved.mixed == straight.mixed).all()
    assert len(moved.merges) == len(straight.merges) == 1
    for a, b in zip(moved.merges, straight.merges, strict=True):
        assert (a.label, a.into, a.cosine) == (b.label, b.into, b.cosine)
        assert order[a.evidence].tolist() == b.evidence.tolist()


def test_classes_of_one_row_and_of_none() -> None:
    people = make_people((45, 500, 1))
    found = people.find(classes=48)
    assert found.group.shape == people.label.shape
    assert found.mixed.shape == (48,)
    assert not found.mixed.any()
    assert found.merges == ()


@pytest.mark.parametrize("rows", [0, 1, 2, 30])
def test_one_class_alone_can_not_be_judged(rows: int) -> None:
    vectors = unit(np.random.default_rng(0).normal(size=(rows, DIM)).astype(np.float32))
    found = find_structure(vectors, np.zeros(rows, np.int64), 1, np.ones(rows))
    assert found.group.tolist() == [0] * rows
    assert found.mixed.tolist() == [False]
    assert found.merges == ()


def test_images_of_no_length_belong_to_nobody() -> None:
    people = make_people()
    vectors = people.vectors.copy()
    vectors[:12] = 0
    found = find_structure(vectors, people.label, 40, np.ones(len(vectors)))
    assert (found.group[:12] == -1).all()


def test_a_class_larger_than_what_is_compared_is_assigned_whole() -> None:
    people = make_people((3, 3, 700), (3, 500, 200))
    found = people.find()
    assert np.flatnonzero(found.mixed).tolist() == [3]
    assert (found.group[people.person == 3] == 0).mean() > 0.99
    assert (found.group[people.person == 500] == 1).mean() > 0.99


def test_the_densest_place_is_not_pulled_by_what_is_wrong() -> None:
    rng = np.random.default_rng(0)
    person = rng.normal(size=DIM)
    rows = unit(np.r_[person + 0.3 * rng.normal(size=(9, DIM)), rng.normal(size=(20, DIM))].astype(np.float32))
    center = densest(rows, CosineScale(0.3, 0.3))
    assert center is not None
    assert center @ unit(person.astype(np.float32)) > 0.97
    assert densest(np.eye(4, dtype=np.float32), CosineScale(0.3, 0.3)) is None


def test_likeness_does_not_depend_on_the_sizes() -> None:
    rng = np.random.default_rng(0)
    people = make_people(classes=2, seed=1)
    same = people.vectors[people.person == 0]
    other = people.vectors[people.person == 1]
    groups = stack([same[:4], same[4:], other])
    zero = np.array([0])
    assert groups.similarity(zero, groups, np.array([1]))[0] == pytest.approx(1, abs=0.1)
    assert abs(groups.similarity(zero, groups, np.array([2]))[0]) < 0.6
    pairs = same @ same.T
    expected = pairs[~np.eye(len(same), dtype=bool)].mean()
    assert stack([same[rng.permutation(len(same))]]).cohesion[0] == pytest.approx(expected, abs=1e-5)


def test_near_duplicates_and_halves() -> None:
    rows = np.repeat(np.eye(3, dtype=np.float32), [1, 2, 3], axis=0)
    assert distinct(rows, 0.98).tolist() == [True, True, False, True, False, False]
    assert bisect(np.repeat(np.eye(2, dtype=np.float32), [3, 5], axis=0)).tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(("count", "rate", "tail"), [(5, 0.1, 7.667e-8), (8, 0.6, 2.455e-7), (2, 3.0, 1.0)])
def test_poisson_tail(count: int, rate: float, tail: float) -> None:
    assert poisson_tail(count, rate) == pytest.approx(tail, rel=0.02)
    assert poisson_tail(count, 0.0) == 0
    assert LEAST_IMAGES == 5
