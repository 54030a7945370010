from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from purify.analysis.label_noise.centering import CenteredEmbeddings
from purify.analysis.label_noise.gallery import Gallery
from purify.analysis.label_noise.hypotheses import Hypotheses
from purify.analysis.search import unit

CLASSES = 9
#: Columns of the measures that need no identity model.
OF_COSINES = [0, 1, 2, 6, 7]


def draw(*, images=6, dim=24, spread=1.0, seed=0) -> tuple[CenteredEmbeddings, np.ndarray]:
    """Images of `CLASSES` people; with an infinite `spread`, of nobody."""
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(CLASSES), images)
    person = rng.normal(size=(CLASSES, dim)) if np.isfinite(spread) else np.zeros((CLASSES, dim))
    vectors = person[label] + min(spread, 1e3) * rng.normal(size=(len(label), dim))
    return CenteredEmbeddings(unit(vectors), rng.normal(size=(len(label), 2))), label


def build(coordinates: CenteredEmbeddings, label, weights=None, *, near_duplicate=0.98) -> Gallery:
    weights = np.ones(len(label)) if weights is None else weights
    return Gallery(coordinates, label, weights, CLASSES, near_duplicate=near_duplicate, rng=np.random.default_rng(0))


def all_pairs(excluded: int | None = None) -> Hypotheses:
    rows, labels = (side.ravel() for side in np.meshgrid(np.arange(CLASSES * 6), np.arange(CLASSES), indexing="ij"))
    return Hypotheses.of(rows, labels, None if excluded is None else np.full(len(rows), excluded))


def against(values: np.ndarray, given: int, rivals: np.ndarray) -> list[float]:
    own = values[given]
    return [own, own - values[rivals].max(), own - values[rivals].mean()]


@pytest.mark.parametrize("excluded", [None, 4])
def test_measures_are_those_of_a_direct_computation_without_the_image(excluded) -> None:
    coordinates, label = draw()
    weights = np.random.default_rng(1).uniform(0.5, 1, len(label))
    gallery = build(coordinates, label, weights)
    pairs = all_pairs(excluded)
    found = gallery.measure(pairs)
    vectors, model = coordinates.vectors.astype(float), gallery.model
    white = model.coordinates(coordinates.vectors).astype(float)

    for at, (row, given) in enumerate(zip(pairs.rows, pairs.labels, strict=True)):
        others = np.arange(len(label)) != row
        cosine, ratio, nearest, trusted = np.empty((4, CLASSES))
        for klass in range(CLASSES):
            members = np.flatnonzero(others & (label == klass))
            center = weights[members] @ vectors[members]
            trusted[klass] = weights[members].sum()
            cosine[klass] = vectors[row] @ center / np.linalg.norm(center)
            mean = (weights[members] @ white[members] / trusted[klass]).astype(np.float32)
            ratio[klass] = model.log_ratio(white[row].astype(np.float32), mean, trusted[klass])
            nearest[klass] = np.sort(vectors[members] @ vectors[row])[-3:].mean()
        rivals = np.array([k for k in range(CLASSES) if k not in (given, excluded)])
        close = rivals[np.argsort(-cosine[rivals])[:4]]
        wanted = [
            *against(cosine, given, rivals),
            *against(ratio / 50, given, rivals),
            nearest[given],
            nearest[given] - nearest[close].max(),
            *coordinates.quality[row],
        ]
        np.testing.assert_allclose(found.features[at], wanted, atol=2e-4)
        assert found.trusted[at] == pytest.approx(trusted[given])
        assert found.best[at] == rivals[np.argmax(ratio[rivals])]


@pytest.mark.parametrize("weight", [1e-3, 0.7])
def test_an_image_measures_the_same_whatever_its_own_weight_is(weight) -> None:
    coordinates, label = draw()
    row = 8
    pairs = Hypotheses.of(np.full(CLASSES, row), np.arange(CLASSES))
    weights = np.ones(len(label))
    weights[row] = weight
    found, plain = build(coordinates, label, weights).measure(pairs), build(coordinates, label).measure(pairs)
    np.testing.assert_allclose(found.features[:, OF_COSINES], plain.features[:, OF_COSINES], atol=1e-4)
    np.testing.assert_allclose(found.trusted, plain.trusted, atol=1e-9)


def test_images_of_nobody_are_no_nearer_to_their_own_label_than_to_others() -> None:
    """Else the given labels would look right by themselves. Fails when an image is left in its own center."""
    gaps = []
    for seed in range(40):
        coordinates, label = draw(spread=np.inf, images=5, dim=64, seed=seed)
        large = np.flatnonzero(label < CLASSES - 2)
        short = ~((label >= CLASSES - 2) & (np.arange(len(label)) % 5 == 0))  # two classes have 4 images
        held = CenteredEmbeddings(coordinates.vectors[short], coordinates.quality[short])
        gallery = build(held, label[short])
        # As many other images on both sides: 4 of the own label, and 4 of a smaller one.
        own = gallery.measure(Hypotheses.of(large, label[large]))
        wrong = gallery.measure(Hypotheses.of(large, CLASSES - 2 + large % 2))
        np.testing.assert_array_equal(own.trusted, wrong.trusted)
        gaps.append((own.features - wrong.features)[:, [0, 1, 2, 6]].mean(axis=0))
    error = np.std(gaps, axis=0) / np.sqrt(len(gaps))
    assert (np.abs(np.mean(gaps, axis=0)) < 4 * error).all()
    assert (error < 0.01).all()  # an image left in its own center would add some 0.4 to the cosine


def test_a_label_that_does_not_compete_is_neither_background_nor_best() -> None:
    coordinates, label = draw(spread=0.4)
    gallery = build(coordinates, label)
    rows = np.arange(len(label))
    wrong = (label + 1) % CLASSES
    competing = gallery.measure(Hypotheses.of(rows, wrong))
    alone = gallery.measure(Hypotheses.of(rows, wrong, label))
    assert (competing.best == label).all()
    assert ((alone.best != label) & (alone.best != wrong)).all()
    np.testing.assert_array_equal(alone.features[:, [0, 3, 6]], competing.features[:, [0, 3, 6]])
    # Without their person among the competitors the wrong label doesn't look as bad as with them.
    assert (alone.features[:, [1, 2, 4, 5, 7]] > competing.features[:, [1, 2, 4, 5, 7]]).all()


def test_near_duplicates_are_no_evidence() -> None:
    coordinates, label = draw()
    vectors = coordinates.vectors.copy()
    vectors[1] = unit(vectors[0] + 0.02 * vectors[1])
    copied = replace(coordinates, vectors=vectors)
    pair = Hypotheses.of(np.array([0]), label[:1])
    counted = build(copied, label, near_duplicate=1.0).measure(pair).features[0, 6]
    found = build(copied, label, near_duplicate=0.98).measure(pair).features[0, 6]
    others = np.sort(vectors[2:6] @ vectors[0])[-3:].mean()
    assert found == pytest.approx(others, abs=1e-5)
    assert counted > found + 0.1


def test_images_of_little_weight_are_no_examples() -> None:
    coordinates, label = draw()
    weights = np.ones(len(label))
    weights[[1, 2, 10]] = 0.4
    examples = build(coordinates, label, weights).examples
    assert not np.isin([1, 2, 10], examples).any()
    assert set(examples[examples >= 0]) == set(np.flatnonzero(weights == 1))
    for klass, rows in enumerate(examples):
        assert (label[rows[rows >= 0]] == klass).all()


def test_a_label_of_one_image_has_nothing_to_compare_it_with() -> None:
    coordinates, label = draw()
    label = label.copy()
    label[label == 8] = 7
    label[0] = 8
    found = build(coordinates, label).measure(Hypotheses.of(np.array([0]), np.array([8])))
    assert found.trusted[0] == 0
    assert np.isfinite(found.features).all()
    assert 0 <= found.best[0] < 8


def test_parts_of_the_pairs_measure_as_the_whole() -> None:
    coordinates, label = draw()
    gallery = build(coordinates, label)
    pairs = all_pairs()
    many = Hypotheses.of(np.tile(pairs.rows, 5), np.tile(pairs.labels, 5))
    whole, one = gallery.measure(many), gallery.measure(pairs)
    assert len(many.rows) > 2048
    np.testing.assert_array_equal(whole.best, np.tile(one.best, 5))
    np.testing.assert_allclose(whole.features, np.tile(one.features, (5, 1)), atol=1e-5)
