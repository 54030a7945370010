"""Which labels claim an image, among many labels or among a few near ones, and how distinctive the image is."""

from __future__ import annotations

from functools import cache

import numpy as np

from purify.analysis.label_noise.centering import CenteredEmbeddings
from purify.analysis.label_noise.gallery import Gallery
from purify.analysis.search import unit

LABELS, IMAGES = 90, 4


@cache
def drawn() -> tuple[CenteredEmbeddings, np.ndarray, np.ndarray]:
    """Vectors, their labels, of which the last has no images, and the labels with the twelve nearest means."""
    rng = np.random.default_rng(0)
    label = np.repeat(np.arange(LABELS), IMAGES)
    vectors = unit(rng.normal(size=(LABELS, 16))[label] + rng.normal(size=(len(label), 16)))
    means = np.stack([vectors[label == k].mean(axis=0) for k in range(LABELS)])
    near = np.argsort(-(vectors @ means.T), axis=1)[:, :12].astype(np.int32)
    near[5, 9:] = -1
    near[6:9, 4] = LABELS
    return CenteredEmbeddings(vectors, rng.normal(size=(len(label), 2))), label, near


@cache
def gallery(*, near: bool) -> Gallery:
    given, label, few = drawn()
    trust = np.random.default_rng(1).uniform(0.3, 1, len(label))
    rng = np.random.default_rng(2)
    return Gallery(given, label, trust, LABELS + 1, rng=rng, near=few if near else None)


def cosines_to_centers() -> np.ndarray:
    found = gallery(near=False)
    totals = np.stack(
        [found.weights[found.label_index == k] @ found.vectors[found.label_index == k] for k in range(90)]
    )
    return found.vectors @ unit(totals).T


def ratio_to(image: int, labels: np.ndarray) -> np.ndarray:
    found = gallery(near=False)
    white = found.model.coordinates(found.vectors)
    members = [found.label_index == k for k in labels]
    means = np.stack([np.average(white[own], axis=0, weights=found.weights[own]) for own in members])
    counts = np.array([found.weights[own].sum() for own in members])
    return found.model.log_ratio(white[image], means.astype(np.float32), counts)


def test_of_many_labels_those_of_the_64_nearest_centers_may_claim_and_the_likeliest_eight_do() -> None:
    found, cosines = gallery(near=False), cosines_to_centers()
    for image in range(0, len(cosines), 7):
        nearest = np.argsort(-cosines[image])[:65]
        others = nearest[nearest != found.label_index[image]]
        ratio = ratio_to(image, others)
        order = np.argsort(-ratio)[:8]
        assert found.claims.labels[image].tolist() == others[order].tolist()
        np.testing.assert_allclose(found.claims.comparison.ratio[image], ratio[order], atol=2e-2)
        np.testing.assert_allclose(found.claims.comparison.cosine[image], cosines[image, others[order]], atol=1e-5)
        np.testing.assert_allclose(found.traits.rivals[image], ratio[order][:2], atol=2e-2)
        assert found.traits.claimant[image] == others[order[0]]
    np.testing.assert_array_equal(found.images[:LABELS] > 0, True)
    assert found.images[LABELS] == 0


def test_an_image_near_to_many_labels_has_a_large_background() -> None:
    """The nearest center doesn't count, whether it is that of its own label or of its person's."""
    found, cosines = gallery(near=False), -np.sort(-cosines_to_centers(), axis=1)
    np.testing.assert_allclose(found.traits.background, cosines[:, 1:21].mean(axis=1), atol=1e-5)


def test_among_near_labels_only_these_claim_and_none_without_images() -> None:
    _, label, near = drawn()
    every, found = gallery(near=False), gallery(near=True)
    for image in range(0, len(label), 5):
        wanted = near[image][(near[image] >= 0) & (near[image] < LABELS) & (near[image] != label[image])]
        ratio = ratio_to(image, wanted)
        claimants = found.claims.labels[image]
        there = claimants >= 0
        assert claimants[there].tolist() == wanted[np.argsort(-ratio)][:8].tolist()
        assert found.claims.comparison.cosine[image][~there].tolist() == [0] * (~there).sum()
    whole = np.flatnonzero(((near >= 0) & (near < LABELS)).all(axis=1))
    order = -np.sort(-np.take_along_axis(cosines_to_centers(), near * (near < LABELS), axis=1), axis=1)
    np.testing.assert_allclose(found.traits.background[whole], order[whole, 1:21].mean(axis=1), atol=1e-5)
    np.testing.assert_array_equal(found.own.ratio, every.own.ratio)


def test_of_a_large_label_64_trusted_images_are_examples() -> None:
    rng, most = np.random.default_rng(3), 64
    label = np.repeat([0, 1, 2], [200, most, 5])
    given = CenteredEmbeddings(unit(rng.normal(size=(len(label), 8))), np.zeros((len(label), 2)))
    trust = np.where(np.arange(len(label)) % 10, 0.5, 0.49)
    examples = Gallery(given, label, trust, 3, rng=rng).examples
    assert examples.shape == (3, most)
    assert (examples[0] < 200).all()
    assert len(set(examples[0].tolist())) == most
    for own in (1, 2):
        rows = np.flatnonzero((label == own) & (trust >= 0.5))
        assert sorted(examples[own][examples[own] >= 0].tolist()) == rows.tolist()
    assert (trust[examples[examples >= 0]] >= 0.5).all()
    assert not np.array_equal(np.sort(examples[0]), np.flatnonzero((label == 0) & (trust >= 0.5))[:most])
