"""Where wrong images come from, worked out by hand on small sets of labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from purify.analysis.label_noise.origins import FlipCounts, Origins, Routes

#: Places among a label's neighbors -> groups 0 to 3 of ranks: two, three, five and ten of them.
GROUP_OF_PLACE = [0] * 2 + [1] * 3 + [2] * 5 + [3] * 10


@dataclass(frozen=True)
class Centers:
    """What routes need of a gallery."""

    centers: np.ndarray
    images: np.ndarray


def on_a_circle(labels: int) -> np.ndarray:
    """Unit centers a degree apart: the nearest of label k are k + 1 and k - 1, then k + 2 and k - 2."""
    angles = np.radians(np.arange(labels) * (1 + 1e-3 * np.arange(labels)))
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def routes(labels: int, images: float = 10.0) -> Routes:
    found = Routes.of(Centers(on_a_circle(labels), np.full(labels, images)), np.full(labels, 12))
    assert isinstance(found, Routes)
    return found


def test_before_anything_is_measured_every_second_wrong_image_is_a_flip() -> None:
    first = Origins.first()
    assert first.flip_share == 0.5
    np.testing.assert_allclose(first.by_rank, [0.05, 0.05, 0.05, 0.05, 0.8])


def test_measured_origins_start_from_a_prior_of_ten_wrong_images() -> None:
    """30 wrong images, of which 15 and 6 are claimed at the ranks 1 and 4: (21 + 5) / (30 + 10)."""
    wrong, claimed = np.array([10.0, 20.0]), np.array([[15.0, 0.0], [0.0, 6.0]])
    ranks = np.array([[1, 0], [4, 4]])
    between = routes(labels=41)
    found = Origins.measured(wrong.sum(), FlipCounts.of(claimed, ranks), between)
    assert found.flip_share == pytest.approx(26 / 40)
    width = np.array([2, 3, 5, 10, 20])
    weights = np.array([0, 15, 0, 0, 6]) + 5 * width / 40
    np.testing.assert_allclose(found.by_rank, weights / weights.sum())


def test_flips_are_counted_block_by_block() -> None:
    claimed, ranks = np.array([[0.5, 0.25], [0.0, 1.0], [0.75, 0.5]]), np.array([[0, 4], [1, 4], [0, 2]], np.int8)
    found = FlipCounts.of(claimed[:1], ranks[:1]) + FlipCounts.of(claimed[1:], ranks[1:])
    assert found.total == 3.0
    assert found.by_rank.tolist() == [1.25, 0.0, 0.5, 0.0, 1.25]


@pytest.mark.parametrize(("wrong", "claimed", "share"), [(1e4, 0.0, 0.02), (0.0, 1e4, 0.98)])
def test_neither_flips_nor_strangers_are_ruled_out(wrong: float, claimed: float, share: float) -> None:
    ranks = np.zeros((1, 1), int)
    found = Origins.measured(wrong, FlipCounts.of(np.array([[claimed]]), ranks), routes(labels=30))
    assert found.flip_share == pytest.approx(share)


def test_the_labels_most_like_a_label_come_nearest_first() -> None:
    centers = on_a_circle(40)
    found = routes(labels=40)
    cosines = centers.astype(float) @ centers.T
    np.fill_diagonal(cosines, -2)
    np.testing.assert_array_equal(found.neighbors, np.argsort(-cosines, axis=1)[:, :20])
    np.testing.assert_array_equal(found.width, [2, 3, 5, 10, 19])
    np.testing.assert_array_equal(found.images, np.full(40, 10.0))


def test_of_few_labels_all_others_are_neighbors_and_the_last_group_has_a_width_of_one() -> None:
    found = routes(labels=7)
    assert (np.sort(found.neighbors[:, :6], axis=1) == [[k for k in range(7) if k != own] for own in range(7)]).all()
    assert (found.neighbors[:, 6:] == -1).all()
    np.testing.assert_array_equal(found.width, [2, 3, 1, 0, 1])
    np.testing.assert_array_equal(routes(labels=21).width, [2, 3, 5, 10, 1])
    np.testing.assert_array_equal(routes(labels=23).width, [2, 3, 5, 10, 2])


def test_a_label_without_images_is_nobodys_neighbor_and_loses_none() -> None:
    sizes = np.full(10, 12)
    sizes[[4, 5]] = 0, 1
    images = np.array([10, 0.1, 10, 10, 10, 10, 10, 10, 10, 10])
    found = Routes.of(Centers(on_a_circle(10), images), sizes)
    assert 4 not in found.neighbors
    assert (found.neighbors[4] == -1).all()
    assert 5 in found.neighbors  # a label of one image is one
    assert found.images.tolist() == [10, 0.5, 10, 10, 0, 10, 10, 10, 10, 10]  # at least half an image of the others


def test_ranks_are_the_groups_of_the_places_among_the_neighbors() -> None:
    found = routes(labels=5000)
    source = np.array([[50, 60], [50, 50]])
    for place, group in enumerate(GROUP_OF_PLACE):
        given = found.neighbors[[50, 60], place]
        assert found.rank(source, given)[0, 0] == group
        assert found.rank(source[:, ::-1], found.neighbors[[60, 60], place])[0, 0] == group
    assert found.rank(source, np.array([4000, 50])).tolist() == [[4, 4], [4, 4]]
    many = np.repeat([[50, 60]], 9000, axis=0)  # of several chunks
    np.testing.assert_array_equal(found.rank(many, np.repeat(found.neighbors[50, 3], 9000))[:, 0], np.ones(9000))


def test_the_flips_of_a_label_are_shared_among_the_labels_of_a_group() -> None:
    between = routes(labels=41)
    origins = Origins(0.5, np.array([0.2, 0.3, 0.1, 0.1, 0.3]))
    np.testing.assert_allclose(between.per_label(origins), [0.1, 0.1, 0.02, 0.01, 0.015])
    few = routes(labels=7)  # a group without labels isn't divided by
    np.testing.assert_allclose(few.per_label(origins), [0.1, 0.1, 0.1, 0.1, 0.3])


def test_the_probabilities_of_all_sources_of_a_label_are_one() -> None:
    """A source loses flips in proportion to its images, and to the share that lands under the given label."""
    labels = 60
    rng = np.random.default_rng(0)
    images = rng.uniform(1, 30, labels)
    between = Routes.of(Centers(on_a_circle(labels), images), np.full(labels, 40))
    origins = Origins(0.5, np.array([0.2, 0.3, 0.1, 0.1, 0.3]))
    given = np.array([7, 23, 0])
    source = np.stack([np.arange(labels)] * 3)
    ranks = between.rank(source, given)
    found = between.sources(origins).probability(source, given, ranks)
    share = between.per_label(origins)[ranks]
    expected = images[source] * share / (images[source] * share).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected)  # the given label itself, of group 4, is among those it comes from


def test_flips_are_drawn_as_often_as_the_groups_of_ranks_have_them() -> None:
    between = routes(labels=200)
    origins = Origins(0.5, np.array([0.4, 0.3, 0.1, 0.1, 0.1]))
    source = np.full(40_000, 100)
    drawn = between.draw_label(origins, source, np.random.default_rng(0))
    group = between.rank(source[:, None], drawn)[:, 0]
    found = np.bincount(group, minlength=5) / len(drawn)
    of_first = between.draw_label(origins, np.full(20_000, 1), np.random.default_rng(0)) == 0
    assert of_first.mean() == pytest.approx(0.4 / 2, abs=0.012)  # one of the two most like it
    nearby = 20 / 200 * 0.1  # some of those drawn from all labels are neighbors, too
    np.testing.assert_allclose(found, [0.4, 0.3, 0.1, 0.1, 0.1 - nearby], atol=0.012)
    assert len(set(drawn[group == 4])) > 170


def test_flips_at_a_dead_end_land_under_any_label_with_images() -> None:
    sizes = np.full(5, 12)
    sizes[2] = 0
    between = Routes.of(Centers(on_a_circle(5), np.array([10, 0.5, 10, 10, 10])), sizes)
    origins = Origins(0.5, np.array([0.0, 0.0, 0.0, 1.0, 0.0]))  # a group of neighbors that nobody has
    drawn = between.draw_label(origins, np.zeros(2000, int), np.random.default_rng(0))
    assert set(drawn.tolist()) == {0, 1, 3, 4}
