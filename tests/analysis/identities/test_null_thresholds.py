"""Thresholds of the class structure, beside what all pairs and many parts of the classes show."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from purify.analysis.class_rows import ClassRows, ImageGroups, canonical_order
from purify.analysis.identities.null_thresholds import (
    NullThresholds,
    null_thresholds,
    sampled_classes,
    scale_of_centers,
    scale_of_pairs,
)
from purify.analysis.label_noise.mode_seeking import CosineScale, cosine_scale
from purify.analysis.search import unit

CLASSES, DIM = 90, 24
SCALE = CosineScale(0.3, 0.3)


@cache
def drawn() -> ClassRows:
    """Classes of 5 to 12 images; every third image is turned away, by an own direction."""
    rng = np.random.default_rng(0)
    label = np.repeat(np.arange(CLASSES), 5 + np.arange(CLASSES) % 8)
    spread = np.where(np.arange(len(label)) % 3, 0.5, 0.9)[:, None]
    vectors = unit(rng.normal(size=(CLASSES, DIM))[label] + spread * rng.normal(size=(len(label), DIM)))
    return ClassRows(vectors, label, CLASSES, np.ones(len(label)), canonical_order(vectors, label))


@cache
def measured() -> tuple[list[np.ndarray], NullThresholds]:
    rows = drawn()
    members = [np.flatnonzero(rows.label == k) for k in range(CLASSES)]
    groups = ImageGroups(rows.vectors, members)
    return [rows.vectors[own] for own in members], null_thresholds(groups, SCALE, SCALE, np.random.default_rng(1))


def cohesion(vectors: np.ndarray) -> float:
    """Mean cosine of two different rows."""
    n = len(vectors)
    return float(((vectors @ vectors.T).sum() - n) / (n * (n - 1)))


def similarity(one: np.ndarray, other: np.ndarray) -> float:
    return float((one @ other.T).mean() / np.sqrt(cohesion(one) * cohesion(other)))


def test_a_person_coheres_as_nearly_all_classes_do_less_a_tenth_of_other_images() -> None:
    classes, thresholds = measured()
    assert thresholds.cohesion == pytest.approx(0.81 * np.quantile([cohesion(one) for one in classes], 0.01), rel=1e-4)


def test_two_people_are_no_more_alike_than_nearly_all_pairs_of_classes() -> None:
    """As of a normal distribution: its 99 % quantile is as far from the median as 1.414 times that of 95 %."""
    classes, thresholds = measured()
    every = [similarity(classes[i], classes[k]) for i in range(CLASSES) for k in range(i)]
    middle, most = np.quantile(every, [0.5, 0.95])
    assert thresholds.different == pytest.approx(middle + (most - middle) * 1.414, rel=0.02)


def test_one_person_is_as_alike_as_nearly_all_parts_of_a_class() -> None:
    """One part is of five images, or of half of them where these are fewer."""
    classes, thresholds = measured()
    rng, found = np.random.default_rng(5), []
    for _ in range(60):
        for one in classes:
            order = rng.permutation(len(one))
            few = min(5, len(one) // 2)
            found.append(similarity(one[order[:few]], one[order[few:]]))
    assert thresholds.same == pytest.approx(np.quantile(found, 0.01), abs=0.02)
    assert thresholds.same > thresholds.different


def test_more_strangers_hold_a_denser_group_by_chance() -> None:
    _, thresholds = measured()
    np.testing.assert_allclose(np.exp(thresholds.strangers), [1, 10, 20, 40])
    assert thresholds.chance_cohesion[0] == 0
    assert (np.diff(thresholds.chance_cohesion) >= 0).all()
    assert 0.1 < thresholds.chance_cohesion[-1] < thresholds.cohesion + 0.3


def test_a_group_is_a_person_if_it_coheres_more_than_strangers_by_chance() -> None:
    logs, chance = np.log([1.0, 10.0, 100.0]), np.array([0.0, 0.4, 0.8])
    thresholds = NullThresholds(SCALE, SCALE, 0.3, logs, chance, different=0.5, same=0.8)
    for strangers, limit in ((0, 0.3), (1, 0.3), (5, 0.3), (10, 0.4), (32, 0.4 + 0.4 * np.log10(3.2)), (10**6, 0.8)):
        assert thresholds.is_person(limit + 1e-9, strangers)
        assert not thresholds.is_person(limit - 1e-9, strangers)
    assert thresholds.is_person(0.3, 1)


def test_groups_found_by_search_fall_short_by_twice_the_spread_of_their_size() -> None:
    thresholds = NullThresholds(SCALE, SCALE, 0.3, np.zeros(1), np.zeros(1), different=0.5, same=0.8)
    assert [thresholds.surely_different(n) for n in (5, 20, 80)] == pytest.approx([0.1, 0.3, 0.4])


def test_scales_are_of_images_and_centers_of_different_classes() -> None:
    rows = drawn()
    cosines = rows.vectors @ rows.vectors.T
    apart = rows.label[:, None] != rows.label
    pairs = scale_of_pairs(rows, np.random.default_rng(2))
    wanted = cosine_scale(cosines[apart])
    assert pairs is not None
    assert (pairs.low, pairs.width) == pytest.approx((wanted.low, wanted.width), abs=0.015)

    sampled = sampled_classes(rows, 0.98, np.random.default_rng(2))
    assert sampled is not None
    assert sampled[0] == pairs
    samples = sampled[2]
    assert [sample.label for sample in samples] == list(range(CLASSES))
    centers = np.stack([sample.center for sample in samples])
    wanted = cosine_scale((rows.vectors @ centers.T)[rows.label[:, None] != np.arange(CLASSES)])
    found = scale_of_centers(rows, samples, np.random.default_rng(3))
    assert (found.low, found.width) == pytest.approx((wanted.low, wanted.width), abs=0.015)
    assert (sampled[1].low, sampled[1].width) == pytest.approx((wanted.low, wanted.width), abs=0.015)


def test_one_class_has_no_scale_of_pairs() -> None:
    rows = drawn()
    one = ClassRows(rows.vectors[:5], np.zeros(5, int), 1, np.ones(5), np.arange(5))
    assert scale_of_pairs(one, np.random.default_rng(0)) is None
    assert sampled_classes(one, 0.98, np.random.default_rng(0)) is None


def test_classes_of_few_images_are_halved() -> None:
    """Of six images, three and three: of one image alone there is no cohesion."""
    rng = np.random.default_rng(3)
    label = np.repeat(np.arange(30), 6)
    vectors = unit(rng.normal(size=(30, DIM))[label] + 0.5 * rng.normal(size=(180, DIM)))
    groups = ImageGroups(vectors, [np.flatnonzero(label == k) for k in range(30)])
    thresholds = null_thresholds(groups, SCALE, SCALE, rng)
    halves = [rng.permuted(one) for _ in range(40) for one in np.arange(180).reshape(30, 6)]
    found = [similarity(vectors[one[:3]], vectors[one[3:]]) for one in halves]
    assert thresholds.same == pytest.approx(np.quantile(found, 0.01), abs=0.03)
