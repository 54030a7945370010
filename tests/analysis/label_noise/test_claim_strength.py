"""How strongly claims speak for a flip, on drawn claims of which it is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from purify.analysis.label_noise.claim_strength import ClaimStrength, measure_claims, strength_of
from purify.analysis.label_noise.logistic import fit_logistic
from purify.analysis.label_noise.origins import Origins, Routes

LABELS, IMAGES = 30, 3000


@dataclass(frozen=True)
class Centers:
    """What routes need of a gallery."""

    centers: np.ndarray
    images: np.ndarray


@dataclass(frozen=True)
class Claims:
    """What is measured of the evidence of a data set."""

    mates: np.ndarray
    claimants: np.ndarray
    claims: np.ndarray
    doubted_own: np.ndarray
    routes: Routes


def drawn(images: int = IMAGES, own: float = 30.0) -> tuple[Claims, np.ndarray]:
    """Trusted images: the log ratio of their own label is about `own`, those of two claimants about 0."""
    rng = np.random.default_rng(0)
    angles = 2 * np.pi * np.arange(LABELS) / LABELS
    centers = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    label = rng.integers(0, LABELS, images)
    claimants = (label[:, None] + rng.integers(1, LABELS, (images, 2))) % LABELS
    claims, mine = rng.normal(0, 5, (images, 2)), rng.normal(own, 5, images)
    routes = Routes.of(Centers(centers, np.full(LABELS, 50.0)), np.full(LABELS, 60))
    return Claims(np.full(images, 20.0), claimants, claims, mine, routes), label


def test_the_strength_is_the_mean_ratio_by_the_priors() -> None:
    claims, prior = np.array([[1.0, 2.0], [3.0, -50.0], [0.0, 0.0]]), np.array([[0.25, 0.5], [0.1, 0.0], [0.0, 0.0]])
    found = strength_of(claims, prior)
    assert found[:2] == pytest.approx([np.log(0.25 * np.e + 0.5 * np.e**2), np.log(0.1) + 3])
    assert np.isfinite(found[2])
    assert found[2] < -700


def test_nothing_measured_leaves_claims_as_they_are_and_a_measure_only_raises_them() -> None:
    strength = np.array([-3.0, 0.0, 4.0])
    assert ClaimStrength(None).log_ratio(strength).tolist() == strength.tolist()
    rng = np.random.default_rng(0)
    model = fit_logistic(rng.normal(2, 1, (900, 1)), np.ones(900), rng.normal(-2, 1, (900, 1)))
    found = ClaimStrength(model).log_ratio(strength)
    np.testing.assert_allclose(found, np.maximum(strength, model.log_odds(strength[:, None])))
    assert found[0] == -3  # the model says -12
    assert found[2] > 10


def test_a_claim_that_strangers_never_reach_speaks_for_a_flip() -> None:
    evidence, label = drawn()
    found = measure_claims(evidence, label, np.ones(IMAGES), Origins.first(), np.random.default_rng(1))
    odds = found.model.log_odds(np.array([[-5.0], [8.0], [26.0]]))
    assert odds[0] < -3
    assert odds[2] > 3
    assert odds[0] < odds[1] < odds[2]


def test_own_labels_no_better_than_others_speak_for_nothing() -> None:
    """With a third claim like the other two, a flip is hardly told from a stranger."""
    evidence, label = drawn(own=0.0)
    found = measure_claims(evidence, label, np.ones(IMAGES), Origins.first(), np.random.default_rng(1))
    usual = strength_of(evidence.claims, np.full(evidence.claims.shape, 1 / LABELS))
    assert np.abs(found.model.log_odds(np.median(usual)[None, None])).max() < 1


@pytest.mark.parametrize("known", [49, 50])
def test_fifty_trusted_images_with_trusted_mates_are_needed(known: int) -> None:
    evidence, label = drawn(200)
    belief = np.where(np.arange(200) < known, 1.0, 0.1)
    rng = np.random.default_rng(1)
    measured = measure_claims(evidence, label, belief, Origins.first(), rng).model is not None
    # Of fifty, some are drawn to pretend their own label, and too few are left.
    assert not measured
    more = np.where(np.arange(200) < known + 30, 1.0, 0.1)
    assert measure_claims(evidence, label, more, Origins.first(), rng).model is not None
    alone = Claims(np.zeros(200), evidence.claimants, evidence.claims, evidence.doubted_own, evidence.routes)
    assert measure_claims(alone, label, np.ones(200), Origins.first(), rng).model is None


def test_images_that_nobody_claims_are_left_out() -> None:
    evidence, label = drawn()
    nobody = np.arange(IMAGES) % 2 == 0
    claimants = np.where(nobody[:, None], -1, evidence.claimants)
    claims = np.where(nobody[:, None], 500.0, evidence.claims)  # would be strangers of enormous strength
    part = Claims(evidence.mates, claimants, claims, evidence.doubted_own, evidence.routes)
    found = measure_claims(part, label, np.ones(IMAGES), Origins.first(), np.random.default_rng(1))
    assert found.model.log_odds(np.array([[26.0]]))[0] > 3
    none = Claims(evidence.mates, np.full_like(claimants, -1), claims, evidence.doubted_own, evidence.routes)
    assert measure_claims(none, label, np.ones(IMAGES), Origins.first(), np.random.default_rng(1)).model is None
