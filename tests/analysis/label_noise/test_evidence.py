"""Evidence for and against labels: doubt in the others' images, claims, and labels that stand for nobody."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from purify.analysis.label_noise.centering import centered
from purify.analysis.label_noise.evidence import Evidence, weigh, with_doubt
from purify.analysis.label_noise.gallery import Gallery
from purify.analysis.label_noise.same_person import draw_pairs, fit_same_person

IMAGES, NOBODY = 10, 11


def test_images_that_may_all_be_wrong_are_no_evidence_to_that_extent() -> None:
    """p(r) of the ratio r = 8: with probability 1/4 the one image is of somebody else, and the ratio 1."""
    ratio, images = np.log([8.0, 8.0, 0.125]), np.array([0.75, 0.5, 0.75])
    np.testing.assert_allclose(np.exp(with_doubt(ratio, images)), [0.25 + 0.75 * 8, 4.5, 0.25 + 0.75 / 8])


def test_no_evidence_is_quite_certain_or_void() -> None:
    several, none = with_doubt(np.array([-100.0, 3.0]), np.array([5.0, 1.0])), with_doubt(np.zeros(1), np.zeros(1))
    assert -15 < several[0] < -4
    assert several[1] == pytest.approx(3, abs=0.01)
    assert none[0] == pytest.approx(0)
    assert 0 < with_doubt(np.array([50.0]), np.zeros(1))[0] < 49


@cache
def drawn() -> tuple[Gallery, np.ndarray, np.ndarray]:
    """Labels of ten images of a person; one of ten images of different people, of which few are trusted."""
    rng = np.random.default_rng(0)
    label = np.repeat(np.arange(NOBODY + 1), IMAGES)
    people = rng.normal(size=(NOBODY + 1, 24))
    rows = people[label] + 0.5 * rng.normal(size=(len(label), 24))
    rows[label == NOBODY] = rng.normal(size=(IMAGES, 24))
    trust = np.ones(len(label))
    trust[np.flatnonzero(label == NOBODY)[2:]] = 0.01
    gallery = Gallery(centered(rows), label, trust, NOBODY + 1, rng=np.random.default_rng(1))
    return gallery, label, trust


@cache
def weighed(suspects: int = NOBODY + 1) -> Evidence:
    """Of the first labels it is asked whether they stand for a person."""
    gallery, _, trust = drawn()
    asked = np.arange(NOBODY + 1) < suspects
    return weigh(gallery, trust, np.full(NOBODY + 1, IMAGES), np.random.default_rng(2), asked)


def test_a_label_of_unrelated_images_stands_for_nobody_and_claims_nothing() -> None:
    gallery, label, _ = drawn()
    evidence = weighed()
    assert np.flatnonzero(evidence.nobody).tolist() == np.flatnonzero(label == NOBODY).tolist()
    of_nobody = evidence.claimants == NOBODY
    assert (evidence.claims[of_nobody] < -50).all()
    others = ~of_nobody & (evidence.claimants >= 0)
    assert (evidence.claims[others] > -15).all()
    assert (evidence.claims[evidence.claimants < 0] < -50).all()
    spared = weighed(suspects=NOBODY)
    assert not spared.nobody.any()
    assert (spared.claims[of_nobody] > -15).all()
    assert gallery.images[NOBODY] < 0.3 * IMAGES


def test_log_ratios_are_those_of_the_regression() -> None:
    gallery, label, trust = drawn()
    evidence = weighed()
    same_person = fit_same_person(gallery, trust, np.random.default_rng(2))
    every = np.arange(len(label))
    np.testing.assert_allclose(evidence.own, same_person.log_ratio(every, label, gallery.own))
    np.testing.assert_array_equal(evidence.mates, gallery.own.images)
    np.testing.assert_allclose(evidence.doubted_own, with_doubt(evidence.own, evidence.mates))
    known = (evidence.claimants[:, 2] >= 0) & (evidence.claimants[:, 2] != NOBODY)
    found = gallery.claims.comparison.take((every[known], 2))
    ratio = same_person.log_ratio(every[known], evidence.claimants[known, 2], found)
    np.testing.assert_allclose(evidence.claims[known, 2], with_doubt(ratio, found.images))


def test_refused_claims_are_gone_and_the_others_stay() -> None:
    evidence = weighed()
    refused = np.zeros(evidence.claims.shape, bool)
    assert evidence.without(refused) is evidence
    refused[3, 1] = True
    left = evidence.without(refused)
    assert left.claims[3, 1] < -50
    np.testing.assert_array_equal(left.claims[~refused], evidence.claims[~refused])


def test_pairs_are_of_each_example_and_another_one_of_its_label() -> None:
    examples = np.array([[3, 5, 8, -1], [2, -1, -1, -1], [-1, -1, -1, -1], [1, 4, 6, 7]])
    rows, mates = draw_pairs(examples, np.random.default_rng(0))
    assert sorted(rows.tolist()) == [1, 3, 4, 5, 6, 7, 8]
    assert sorted(mates.tolist()) == [1, 3, 4, 5, 6, 7, 8]
    assert (rows != mates).all()
    of_first = np.isin(rows, [3, 5, 8])
    np.testing.assert_array_equal(of_first, np.isin(mates, [3, 5, 8]))


@pytest.mark.parametrize(("images", "nobody"), [(6, False), (7, True)])
def test_labels_of_up_to_six_images_are_judged_jointly_instead(images: int, nobody: bool) -> None:
    rng = np.random.default_rng(4)
    sizes = np.array([*[IMAGES] * 8, images])
    label = np.repeat(np.arange(9), sizes)
    rows = rng.normal(size=(9, 24))[label] + 0.5 * rng.normal(size=(len(label), 24))
    rows[label == 8] = rng.normal(size=(images, 24))
    trust = np.where(label == 8, 0.01, 1.0)
    trust[-1] = 1
    gallery = Gallery(centered(rows), label, trust, 9, rng=rng)
    evidence = weigh(gallery, trust, sizes, rng, np.ones(9, bool))
    assert np.unique(label[evidence.nobody]).tolist() == ([8] if nobody else [])
