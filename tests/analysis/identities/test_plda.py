from __future__ import annotations

import numpy as np
import pytest

from purify.analysis.identities.plda import IdentityModel, fit_identities


def log_density(x: np.ndarray, covariance: np.ndarray) -> float:
    """Of a Gaussian around 0."""
    return -0.5 * (x @ np.linalg.solve(covariance, x) + np.linalg.slogdet(2 * np.pi * covariance)[1])


def joint_log_ratio(psi: float, image: float, others: np.ndarray) -> float:
    """Of the joint densities along one axis: one person's images share the variance `psi`, two persons' don't."""
    n = len(others)
    together = np.eye(n + 1) + psi
    apart = together.copy()
    apart[0, 1:] = apart[1:, 0] = 0
    images = np.r_[image, others]
    return log_density(images, together) - log_density(images, apart)


@pytest.mark.parametrize("n", [1, 2, 7, 20])
def test_log_ratio_is_that_of_the_joint_gaussians(n) -> None:
    """The closed form knows only the mean of the images; the joint densities know each of them."""
    rng = np.random.default_rng(n)
    psi = np.array([0.1, 2.0, 30.0])
    model = IdentityModel(np.eye(3, dtype=np.float32), psi.astype(np.float32))
    for _ in range(5):
        image = rng.normal(size=3) * np.sqrt(1 + psi)
        others = rng.normal(size=(n, 3)) + rng.normal(size=3) * np.sqrt(psi)
        wanted = sum(joint_log_ratio(psi[k], image[k], others[:, k]) for k in range(3))
        mean = others.mean(axis=0).astype(np.float32)
        found = model.log_ratio(image.astype(np.float32), mean, np.float64(n))
        assert found == pytest.approx(wanted, rel=1e-3, abs=1e-3)


def test_forms_give_the_same_ratios_for_every_pair() -> None:
    rng = np.random.default_rng(0)
    model = IdentityModel(np.eye(6, dtype=np.float32), rng.uniform(0.1, 9, 6).astype(np.float32))
    images, means = (rng.normal(size=(n, 6)).astype(np.float32) for n in (30, 11))
    counts = rng.uniform(0.2, 40, 11)  # below 1 and above 20 as well
    forms = model.class_forms(means, counts)
    products = model.quadratic(images) @ forms[:, :-1].T + forms[:, -1]
    np.testing.assert_allclose(products, model.log_ratio(images[:, None], means, counts), rtol=1e-3, atol=1e-3)


def test_more_images_are_more_sure_up_to_a_limit() -> None:
    model = IdentityModel(np.eye(2, dtype=np.float32), np.full(2, 3.0, np.float32))
    at = np.array([2.0, 1.0], np.float32)
    ratio = [float(model.log_ratio(at, at, np.float64(n))) for n in (1, 2, 5, 20, 200)]
    assert ratio[0] < ratio[1] < ratio[2] < ratio[3] == ratio[4]
    away = [float(model.log_ratio(at, -at, np.float64(n))) for n in (1, 5, 20)]
    assert 0 > away[0] > away[1] > away[2]


def generated(people=400, images=12, seed=0):
    """Images whose persons differ along the first two of four axes; all turned."""
    rng = np.random.default_rng(seed)
    spread = np.array([2.0, 1.0, 0.0, 0.0])
    label = np.repeat(np.arange(people), images)
    person = rng.normal(size=(people, 4)) * spread
    turn = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    return ((person[label] + rng.normal(size=(len(label), 4))) @ turn.T).astype(np.float32), label, turn


def test_the_fit_finds_who_varies_along_which_axis() -> None:
    vectors, label, turn = generated()
    model = fit_identities(vectors, label, np.ones(len(label)), 400)
    assert model.psi[-2:] == pytest.approx([1, 4], rel=0.2)
    assert (model.psi[:-2] < 0.1).all()
    widest = model.axes[-1] / np.linalg.norm(model.axes[-1])
    assert abs(widest @ turn[:, 0]) > 0.99
    coordinates = model.coordinates(vectors)
    within = coordinates - np.stack([coordinates[label == k].mean(axis=0) for k in range(400)])[label]
    np.testing.assert_allclose(within[:, -2:].var(axis=0) * 12 / 11, 1, rtol=0.1)


def test_rows_without_weight_do_not_count() -> None:
    vectors, label, _ = generated(people=50)
    rng = np.random.default_rng(1)
    noise = 20 * rng.normal(size=(200, 4)).astype(np.float32)
    model = fit_identities(vectors, label, np.ones(len(label)), 50)
    other = fit_identities(
        np.r_[vectors, noise], np.r_[label, rng.integers(0, 50, 200)], np.r_[np.ones(len(label)), np.zeros(200)], 50
    )
    np.testing.assert_allclose(other.psi, model.psi, rtol=1e-3)


def test_ratios_of_own_and_other_images_tell_them_apart() -> None:
    """Over images of the same person, the mean of p(stranger) / p(same) is 1; that is what makes it a probability."""
    rng = np.random.default_rng(3)
    psi, n = np.array([1.0, 0.5]), 4
    model = IdentityModel(np.eye(2, dtype=np.float32), psi.astype(np.float32))
    person = rng.normal(size=(20_000, 2)) * np.sqrt(psi)
    mean = person + rng.normal(size=person.shape) / np.sqrt(n)
    same = person + rng.normal(size=person.shape)
    ratio = model.log_ratio(same.astype(np.float32), mean.astype(np.float32), np.full(len(same), float(n)))
    other = model.log_ratio(
        np.roll(same, 1, axis=0).astype(np.float32), mean.astype(np.float32), np.full(len(same), float(n))
    )
    assert np.exp(-ratio).mean() == pytest.approx(1, abs=0.05)
    assert np.exp(other).mean() == pytest.approx(1, abs=0.05)
    assert ratio.mean() > 0 > other.mean()


@pytest.mark.parametrize("images", [1, 2])
def test_fewest_images(images) -> None:
    vectors, label, _ = generated(people=3, images=images)
    model = fit_identities(vectors, label, np.ones(len(label)), 3)
    assert np.isfinite(model.axes).all()
    assert (model.psi > 0).all()
    ratio = model.log_ratio(model.coordinates(vectors), model.coordinates(vectors), np.ones(len(label)))
    assert np.isfinite(ratio).all()
