"""Log ratios of the subsets of small labels: the mean over all orders in which the images may join, one by one."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import pytest

from purify.analysis.label_noise.centering import CenteredEmbeddings
from purify.analysis.label_noise.comparison import compare_with_sets
from purify.analysis.label_noise.gallery import Gallery
from purify.analysis.label_noise.logistic import Logistic
from purify.analysis.label_noise.same_person import SamePerson
from purify.analysis.label_noise.small_labels import ImageSets, image_sets
from purify.analysis.search import unit

SIZES = np.array([4, 1, 7, 2, 0, 5, 3, 4, 6])


@pytest.fixture(scope="module")
def judged() -> tuple[Gallery, SamePerson, list[ImageSets]]:
    rng = np.random.default_rng(0)
    label = rng.permutation(np.repeat(np.arange(len(SIZES)), SIZES))
    vectors = unit(rng.normal(size=(len(SIZES), 12))[label] + rng.normal(size=(len(label), 12)))
    quality = rng.normal(size=(len(label), 2))
    gallery = Gallery(CenteredEmbeddings(vectors, quality), label, rng.uniform(0.6, 1, len(label)), len(SIZES), rng=rng)
    model = Logistic(np.zeros(16), np.ones(16), rng.normal(size=17))
    same_person = SamePerson(model, gallery.traits)
    return gallery, same_person, image_sets(gallery, same_person, SIZES)


def test_all_labels_of_up_to_six_images_are_judged(judged) -> None:
    gallery, _, found = judged
    assert [sets.rows.shape for sets in found] == [(1, 1), (1, 2), (1, 3), (2, 4), (1, 5), (1, 6)]
    for sets in found:
        for rows in sets.rows:
            assert sorted(rows) == np.flatnonzero(gallery.label_index == gallery.label_index[rows[0]]).tolist()


def test_each_subset_has_the_mean_over_the_orders_of_its_images(judged) -> None:
    gallery, same_person, found = judged

    @cache
    def joining(image: int, others: tuple[int, ...]) -> float:
        rows = np.array([image])
        compared = compare_with_sets(gallery.vectors, gallery.model, rows, np.array([others]))
        return float(same_person.log_ratio(rows, gallery.label_index[rows], compared)[0])

    def of_order(images: tuple[int, ...]) -> float:
        return sum(joining(images[k], tuple(sorted(images[:k]))) for k in range(1, len(images)))

    for sets in found:
        for rows, log_ratio in zip(sets.rows.tolist(), sets.log_ratio, strict=True):
            for subset in range(1 << len(rows)):
                images = [row for place, row in enumerate(rows) if subset >> place & 1]
                if len(images) < 6:
                    orders = [of_order(order) for order in itertools.permutations(images)]
                    assert log_ratio[subset] == pytest.approx(np.mean(orders), rel=1e-3, abs=1e-3)
