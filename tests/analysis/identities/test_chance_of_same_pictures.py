"""Pairs nearer than chance explains, where chance is a power law that is known."""

from __future__ import annotations

import numpy as np
import pytest

from purify.analysis.identities.same_picture import SamePictures, find_same_pictures
from purify.analysis.near_pairs import NearPairs

PAIRS = 2000


def near(distance: np.ndarray) -> tuple[NearPairs, np.ndarray]:
    """Pairs of rows 2k and 2k + 1 at these distances, each row with a label of its own."""
    rows = np.arange(len(distance))
    return NearPairs(2 * rows, 2 * rows + 1, distance), np.arange(2 * len(distance))


def power_law(exponent: float) -> np.ndarray:
    """Distances of which exactly ``PAIRS d ** exponent`` are below d."""
    return (np.arange(1, PAIRS + 1) / PAIRS) ** (1 / exponent)


@pytest.mark.parametrize("exponent", [2.0, 6.0])
def test_distances_that_follow_the_law_are_all_chance(exponent: float) -> None:
    pairs, label = near(power_law(exponent))
    assert len(find_same_pictures(pairs, label, np.ones(len(label))).first) == 0


def test_pairs_below_the_law_are_found_with_the_share_that_chance_has_in_them() -> None:
    distance = power_law(4.0)
    added = np.full(6, 0.3 * distance[0])
    pairs, label = near(np.concatenate([added, distance]))
    found = find_same_pictures(pairs, label, np.ones(len(label)))
    assert found.first.tolist() == [0, 2, 4, 6, 8, 10, 12]  # the last is chance: one in seven is tolerated
    # The law once more: the exponent by Hill's estimator of what is not surely more than chance, three times.
    size, limit = 500, pairs.distance[500]
    tail, share = pairs.distance[:500], np.ones(500)
    for _ in range(3):
        usual = share > 0.15
        expected = usual.sum() * (tail / limit) ** (usual.sum() / np.log(limit / tail)[usual].sum())
        share = np.minimum.accumulate(np.minimum(1, expected / np.arange(1, size + 1))[::-1])[::-1]
    np.testing.assert_allclose(found.p_same, 1 - share[:7])


def test_one_odd_image_near_to_many_counts_once() -> None:
    distance = power_law(4.0)
    pairs, label = near(np.concatenate([np.full(6, 0.6 * distance[0]), distance]))
    alone = find_same_pictures(pairs, label, np.ones(len(label)))
    first = pairs.first.copy()
    first[:6] = 0
    together = find_same_pictures(NearPairs(first, pairs.second, pairs.distance), label, np.ones(len(label)))
    assert len(alone.first) == 7
    assert len(together.first) == 0


def test_labels_known_to_be_wrong_and_pairs_of_one_label_do_not_count() -> None:
    distance = np.concatenate([np.full(6, 0.1 * power_law(4.0)[0]), power_law(4.0)])
    pairs, label = near(distance)
    p_clean = np.ones(len(label))
    p_clean[[0, 3]] = 0.49
    label[5] = label[4]
    assert find_same_pictures(pairs, label, p_clean).first.tolist() == [6, 8, 10]
    p_clean[0] = 0.5
    assert find_same_pictures(pairs, label, p_clean).first.tolist() == [0, 6, 8, 10]


def test_too_few_pairs_tell_nothing_but_equal_embeddings_are_one_picture() -> None:
    distance = np.concatenate([[1e-9, 1e-6], power_law(4.0)[:97] * 0.5])
    pairs, label = near(distance)
    found = find_same_pictures(pairs, label, np.ones(len(label)))
    assert found.first.tolist() == [0, 2]
    assert found.p_same.tolist() == [1, 1]
    enough, label = near(np.concatenate([np.full(3, 1e-4), power_law(4.0)[:97] * 0.5]))
    assert len(find_same_pictures(enough, label, np.ones(len(label))).first) == 3


def test_equal_bytes_are_added_once_in_the_order_of_the_rows() -> None:
    pairs, label = near(np.array([1e-9]))
    label = np.r_[label, [5, 6, 5]]
    pictures = np.array([7, 7, 8, 8, 8])
    found = find_same_pictures(pairs, label, np.ones(5), pictures)
    assert list(zip(found.first.tolist(), found.second.tolist(), strict=True)) == [(0, 1), (2, 3)]
    assert found.p_same.tolist() == [1, 1]
    assert found.contains(np.array([0, 1, 2, 3, 4])).tolist() == [True, True, True, True, False]


def test_both_ways_has_the_surest_first() -> None:
    rows, partners, p_same = SamePictures(np.array([1, 2]), np.array([5, 6]), np.array([0.9, 1.0])).both_ways()
    assert rows.tolist() == [2, 6, 1, 5]
    assert partners.tolist() == [6, 2, 5, 1]
    assert p_same.tolist() == [1.0, 1.0, 0.9, 0.9]
