"""Probabilities against what the pairs of a label look like, on drawn sets of which the truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from purify.analysis.label_noise.plausibility import is_plausible
from purify.analysis.search import unit


def drawn(wrong: float, *, labels: int = 60, images: int = 15, spread: float = 0.4) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of clearly separate people, and labels of which a share is wrong."""
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(labels), images)
    vectors = unit(rng.normal(size=(labels, 64))[person] + spread * rng.normal(size=(len(person), 64)))
    strangers = rng.random(len(person)) < wrong
    vectors[strangers] = unit(rng.normal(size=(int(strangers.sum()), 64)))
    return vectors, person


def check(vectors: np.ndarray, label: np.ndarray, p_clean: float) -> bool:
    return is_plausible(vectors, label, np.full(len(label), p_clean), np.random.default_rng(1))


@pytest.mark.parametrize("wrong", [0.0, 0.3, 0.5])
def test_the_true_share_of_wrong_labels_is_plausible(wrong: float) -> None:
    vectors, label = drawn(wrong)
    assert check(vectors, label, 1 - wrong)


def test_the_separation_may_differ_from_the_implied_one_by_half() -> None:
    """Of clean labels all pairs are of one person: 1 is implied by p of 1, 1.5 times less by .816."""
    vectors, label = drawn(0.0)
    error = 1 / np.sqrt(len(label))
    least = np.sqrt((1 - error - 0.05) / 1.5)
    assert check(vectors, label, least + 0.01)
    assert not check(vectors, label, least - 0.01)
    vectors, label = drawn(0.5)  # a quarter of the pairs are of one person: about .25 is seen
    assert not check(vectors, label, 0.75)
    assert check(vectors, label, 0.6)


def test_labels_without_a_meaning_are_not_plausible_whatever_the_probabilities() -> None:
    vectors, label = drawn(1.0)
    assert not check(vectors, label, 0.9)
    assert not check(vectors, label, 0.5)
    assert not check(vectors, label, 0.3)  # fewer pairs of one person than a tenth


def test_a_tenth_of_the_pairs_has_to_be_of_one_person() -> None:
    vectors, label = drawn(1 - np.sqrt(0.1))
    assert check(vectors, label, np.sqrt(0.1001))
    assert not check(vectors, label, np.sqrt(0.0999))


def test_without_two_images_of_a_label_or_two_labels_there_is_nothing_to_compare() -> None:
    vectors, _ = drawn(1.0)
    assert check(vectors, np.arange(len(vectors)), 0.01)
    assert check(vectors, np.zeros(len(vectors), int), 0.01)


def test_pairs_are_of_two_images_of_one_label() -> None:
    """An image paired with itself would look like one person: labels of two strangers each, implied to be people."""
    rng = np.random.default_rng(0)
    vectors = unit(rng.normal(size=(2000, 64)))
    label = rng.permutation(np.repeat(np.arange(1000), 2))
    assert not is_plausible(vectors, label, np.full(2000, 0.8), rng)
    single = np.concatenate([label, np.arange(1000, 1500)])  # and labels of one are left out
    more = np.concatenate([vectors, unit(rng.normal(size=(500, 64)))])
    assert not is_plausible(more, single, np.full(2500, 0.8), rng)
