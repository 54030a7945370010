"""Whose label it is, on claims written out by hand: label 0 swamped by the person of label 1."""

from __future__ import annotations

import numpy as np
import pytest

from purify.analysis.label_noise.evidence import Evidence
from purify.analysis.label_noise.origins import Origins, Routes
from purify.analysis.label_noise.ownership import Ownership, find_owners

CLAIM = 10.0


class Drawn:
    """Labels 0, 1 and 2 of these sizes; a claimant's claims on rows, and the beliefs, are set one by one."""

    def __init__(self, *sizes: int) -> None:
        self.sizes = np.array(sizes)
        self.label = np.repeat(np.arange(len(sizes)), sizes)
        n = len(self.label)
        self.own, self.belief = np.zeros(n), np.ones(n)
        self.claimants = np.full((n, 2), -1, np.int32)
        self.claims = np.full((n, 2), -50.0)

    def claim(self, claimant: int, label: int, images: int, claim: float = CLAIM) -> np.ndarray:
        """A label claims the first images of another one."""
        rows = np.flatnonzero(self.label == label)[:images]
        self.claimants[rows, 1], self.claims[rows, 1] = claimant, claim
        return rows

    def noise(self, wrong: int) -> None:
        """So many images of label 2 are believed to be wrong."""
        self.belief[np.flatnonzero(self.label == 2)[:wrong]] = 0

    def owners(self, share: float = 0.5) -> Ownership:
        """Label 0 is the label most like label 1, and `share` of its flips land there."""
        labels = len(self.sizes)
        neighbors = np.full((labels, 20), -1)
        neighbors[1, 0] = 0
        routes = Routes(neighbors, np.ones(5), self.sizes.astype(float))
        n = len(self.label)
        ranks = np.zeros((n, 2), np.int8)
        nobody = np.zeros(n, bool)
        evidence = Evidence(self.own, np.ones(n), self.claimants, self.claims, ranks, routes, [], nobody)
        origins = Origins(0.5, np.array([share, 0, 0, 0, 0.0]))
        return find_owners(evidence, self.label, self.belief, self.sizes, origins)


def swamped(images: int = 9) -> Drawn:
    """Of the 12 images of label 0, some are claimed by label 1 of 60; a fifth of all labels is wrong."""
    drawn = Drawn(12, 60, 28)
    drawn.claim(1, 0, images)
    drawn.noise(20)
    return drawn


def test_images_of_a_larger_label_are_given_back_to_the_rest_of_their_own() -> None:
    found = swamped().owners()
    assert found.changes_trust
    np.testing.assert_array_equal(found.trust, [0] * 9 + [1] * 3 + [np.nan] * 88)
    assert not found.refused.any()


@pytest.mark.parametrize(("images", "limit"), [(9, 0.0578), (12, 0.1425)])
def test_so_many_flips_have_to_be_expected(images: int, limit: float) -> None:
    """Of 60 images, 0.2 / 0.8 times as many were lost, 15, a share of them to label 0: e of them.

    Each is one with probability e / (1 + e); all together with a thousandth at least, or a hundredth where nobody is
    left to have the label. So e is 0.866 at least for 9 images of 12, and 2.137 for all 12.
    """
    assert not swamped(images).owners(limit * 0.99).changes_trust
    found = swamped(images).owners(limit * 1.01)
    np.testing.assert_array_equal(found.trust[:12], [0] * images + [1] * (12 - images))


def test_half_of_the_trusted_images_make_the_person_of_a_label() -> None:
    assert swamped(6).owners().changes_trust
    assert not swamped(5).owners().changes_trust
    drawn = swamped(6)
    drawn.belief[0] = 0.99
    assert not drawn.owners().changes_trust
    drawn.belief[6] = 0.98
    assert drawn.owners().changes_trust


@pytest.mark.parametrize(("claimant", "taken"), [(24, False), (25, True)])
def test_the_claimant_has_to_be_larger_by_a_fifth(claimant: int, taken: bool) -> None:
    """Its images count half: 12 are just a fifth more than 10."""
    drawn = Drawn(10, claimant, 28)
    drawn.claim(1, 0, 10)
    drawn.belief[drawn.label == 1] = 0.5
    assert drawn.owners(share=1.0).changes_trust == taken


@pytest.mark.parametrize(("images", "taken"), [(6, False), (7, True)])
def test_small_labels_are_judged_jointly_and_not_given_back(images: int, taken: bool) -> None:
    drawn = Drawn(images, 60, 28)
    drawn.claim(1, 0, images)
    drawn.noise(20)
    assert drawn.owners(share=1.0).changes_trust == taken


def test_a_label_claims_no_more_images_than_it_has() -> None:
    drawn = Drawn(30, 4, 10)
    rows = drawn.claim(1, 0, 5)
    found = drawn.owners()
    assert np.argwhere(found.refused).tolist() == [[row, 1] for row in rows]
    assert not found.changes_trust
    equal = Drawn(30, 4, 10)
    equal.claim(1, 0, 4)
    assert not equal.owners().refused.any()


def test_claims_on_a_label_count_by_its_trusted_images_and_each_label_for_itself() -> None:
    """Three images under each of two labels are not six under one; half trusted ones are half an image."""
    drawn = Drawn(30, 4, 30)
    drawn.claim(1, 0, 3)
    drawn.claim(1, 2, 3)
    assert not drawn.owners().refused.any()
    drawn = Drawn(30, 4, 10)
    drawn.belief[drawn.claim(1, 0, 8)] = 0.5
    assert not drawn.owners().refused.any()


@pytest.mark.parametrize(
    ("claim", "own", "counts"),
    [(4.0, 0.0, False), (4.01, 0.0, True), (10.0, 15.0, False), (10.0, 14.99, True)],
)
def test_a_claim_counts_if_it_is_large_and_not_far_below_that_of_the_own_label(
    claim: float, own: float, counts: bool
) -> None:
    drawn = Drawn(30, 4, 10)
    rows = drawn.claim(1, 0, 5, claim)
    drawn.own[rows] = own
    assert drawn.owners().refused.any() == counts


def test_no_claimant_claims_nothing_and_without_a_wrong_label_none_is_given_back() -> None:
    drawn = Drawn(30, 4, 10)
    drawn.claim(-1, 0, 30)
    assert not drawn.owners().refused.any()
    clean = Drawn(12, 60, 28)
    clean.claim(1, 0, 9)
    assert not clean.owners(share=1.0).changes_trust


def test_labels_of_one_image_say_nothing_of_how_many_are_wrong() -> None:
    """Ten of them, all believed to be wrong, are no noise; a label of two is."""
    for size, taken in ((1, False), (2, True)):
        drawn = Drawn(12, 60, 28, *[size] * 10)
        drawn.claim(1, 0, 9)
        drawn.belief[drawn.label > 2] = 0
        assert drawn.owners(share=1.0).changes_trust == taken
