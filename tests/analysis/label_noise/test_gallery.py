"""Comparisons of images with the trusted images of a label."""

from __future__ import annotations

import numpy as np
import pytest

from purify.analysis.label_noise.centering import CenteredEmbeddings
from purify.analysis.label_noise.comparison import Comparison
from purify.analysis.label_noise.gallery import Gallery
from purify.analysis.search import unit

CLASSES, IMAGES = 9, 6


def draw(seed: int = 0) -> tuple[CenteredEmbeddings, np.ndarray]:
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(CLASSES), IMAGES)
    vectors = rng.normal(size=(CLASSES, 24))[label] + rng.normal(size=(len(label), 24))
    return CenteredEmbeddings(unit(vectors), rng.normal(size=(len(label), 2))), label


def build(trust: np.ndarray) -> Gallery:
    coordinates, label = draw()
    return Gallery(coordinates, label, trust, CLASSES, rng=np.random.default_rng(0))


def test_comparisons_are_those_of_a_direct_computation_without_the_image() -> None:
    trust = np.random.default_rng(1).uniform(0.5, 1, CLASSES * IMAGES)
    gallery = build(trust)
    every, claims = np.arange(len(trust)), gallery.claims
    rows = np.concatenate([every, *[every] * claims.labels.shape[1]])
    labels = np.concatenate([gallery.label_index, claims.labels.T.ravel()])
    places = [claims.comparison.take((every, place)) for place in range(claims.labels.shape[1])]
    found, there = Comparison.join([gallery.own, *places]), labels >= 0
    found, rows, labels = found.take(there), rows[there], labels[there]
    assert len(rows) == len(trust) * CLASSES
    vectors = gallery.vectors.astype(float)
    white = gallery.model.coordinates(gallery.vectors).astype(float)
    for at, (row, label) in enumerate(zip(rows, labels, strict=True)):
        members = np.flatnonzero((gallery.label_index == label) & (np.arange(len(trust)) != row))
        center = trust[members] @ vectors[members]
        assert found.images[at] == pytest.approx(trust[members].sum())
        assert found.cosine[at] == pytest.approx(vectors[row] @ center / np.linalg.norm(center), abs=1e-5)
        assert found.nearest[at] == pytest.approx(np.sort(vectors[members] @ vectors[row])[-3:].mean(), abs=1e-5)
        mean = (trust[members] @ white[members] / trust[members].sum()).astype(np.float32)
        ratio = gallery.model.log_ratio(white[row].astype(np.float32), mean, np.float64(trust[members].sum()))
        assert found.ratio[at] == pytest.approx(ratio, abs=1e-2)


def test_distrusted_images_are_no_examples() -> None:
    trust = np.ones(CLASSES * IMAGES)
    trust[[0, 7]] = 0.4
    examples = build(trust).examples
    assert set(examples[examples >= 0].tolist()) == set(range(len(trust))) - {0, 7}


def test_claimants_are_the_other_labels_most_like_an_image() -> None:
    gallery = build(np.ones(CLASSES * IMAGES))
    claimants, others = gallery.claims.labels, CLASSES - 1
    assert not (claimants == gallery.label_index[:, None]).any()
    assert (np.sort(claimants[:, :others], axis=1)[:, 1:] != np.sort(claimants[:, :others], axis=1)[:, :-1]).all()
    ratio = gallery.claims.comparison.ratio[:, :others]
    assert (ratio[:, :-1] >= ratio[:, 1:]).all()
