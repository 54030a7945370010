from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks import density, margins, votes
from benchmarks.scenarios import Truth
from benchmarks.vectors import LabeledVectors, unit_rows


def _at_angles(degrees: list[float], labels: list[int]) -> LabeledVectors:
    angles = np.radians(degrees)
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    return LabeledVectors(vectors, np.array(labels), max(labels) + 1)


def _truth(wrong: list[bool]) -> Truth:
    is_noise = np.array(wrong)
    return Truth(np.ones(len(wrong), bool), is_noise, np.where(is_noise, -1, 0), None)


@pytest.fixture(scope="module")
def flipped() -> LabeledVectors:
    """Four people of 12 images in 8 dimensions; the first image of each stands under the next one's label."""
    rng = np.random.default_rng(3)
    person = np.repeat(np.arange(4), 12)
    labels = person.copy()
    labels[::12] = (person[::12] + 1) % 4
    return LabeledVectors(unit_rows(np.eye(8)[person] + rng.normal(0, 0.12, (48, 8))), labels, 4)


def test_a_margin_is_the_lead_over_the_best_other_logit() -> None:
    logits = torch.tensor([[3.0, 1.0, 2.0], [3.0, 1.0, 2.0]])
    np.testing.assert_allclose(margins._margins(logits, torch.tensor([0, 1])), [1, -2])


def test_wrong_labels_have_the_smallest_margins_in_training(flipped: LabeledVectors) -> None:
    found = margins.mean_margins(flipped, 0)
    assert set(np.argsort(found)[:4]) == {0, 12, 24, 36}
    np.testing.assert_array_equal(found, margins.mean_margins(flipped, 0))


def test_aum_cuts_where_samples_of_an_added_class_are(flipped: LabeledVectors, monkeypatch: pytest.MonkeyPatch) -> None:
    """Margins are 10 for right labels, 1 for wrong ones; those of an added class are 2 and below."""

    def of(data: LabeledVectors, seed: int) -> np.ndarray:
        assert data.classes == 5
        added = data.label_index == 4
        assert added.sum() == 48 // 5
        base = np.where(np.arange(48) % 12 == 0, 1.0, 10.0)
        base[added] = np.linspace(0, 2, added.sum())
        return base

    monkeypatch.setattr(margins, "mean_margins", of)
    scores = margins.area_under_margin(flipped, 0)
    assert np.flatnonzero(scores.removed).tolist() == [0, 12, 24, 36]
    cut = np.percentile(np.linspace(0, 2, 9), 99)
    np.testing.assert_allclose(scores.trust, np.where(scores.removed, 1, 10) - cut)


def test_dbscan_keeps_the_largest_cluster_of_each_label() -> None:
    """Label 0 at 0, 20, 40 and 110 degrees: the last is 70 away, a distance of 0.66; label 1 is alone."""
    data = _at_angles([0, 20, 40, 110, 112], [0, 0, 0, 0, 1])
    assert density.in_largest_cluster(data, 0.5).tolist() == [True, True, True, False, True]
    assert density.in_largest_cluster(data, 0.7).tolist() == [True] * 5
    assert density.in_largest_cluster(data, 0.05).tolist() == [False] * 4 + [True]


def test_dbscan_gets_the_radius_of_its_best_f1_and_tells_what_it_tried() -> None:
    data = _at_angles([0, 20, 40, 110, 112], [0, 0, 0, 0, 1])
    scores = density.largest_clusters(data, _truth([False, False, False, True, False]))
    assert scores.removed.tolist() == [False, False, False, True, False]
    assert scores.sweep is not None
    assert list(scores.sweep) == [f"{0.2 + 0.05 * step:.2f}" for step in range(16)]
    assert (scores.sweep["0.65"], scores.sweep["0.70"]) == (1, 0)
    np.testing.assert_allclose(scores.trust, [1, 1, 1, 6 / 16, 1])  # it is kept at 0.70 to 0.95
    untuned = density.largest_clusters(data, _truth([False] * 5))
    assert untuned.sweep is None
    assert untuned.removed.tolist() == [False, False, False, True, False]


def test_the_vote_elects_the_label_of_the_neighbors(flipped: LabeledVectors) -> None:
    scores = votes.neighbor_vote(flipped, 0)
    assert np.flatnonzero(scores.removed).tolist() == [0, 12, 24, 36]
    assert scores.suggested is not None
    assert scores.suggested[[0, 12, 24, 36]].tolist() == [0, 1, 2, 3]
    assert (np.delete(scores.suggested, [0, 12, 24, 36]) == -1).all()
    assert (scores.trust[~scores.removed] > 0.6).all()
    np.testing.assert_array_equal(scores.trust, votes.neighbor_vote(flipped, 0).trust)


def test_a_tie_of_the_vote_is_for_the_given_label() -> None:
    """Five images, each of whose neighbors has a label of its own, but one has the same."""
    vectors = unit_rows(np.eye(5) + 0.5)
    assert not votes.neighbor_vote(LabeledVectors(vectors, np.array([0, 0, 1, 2, 3]), 4), 0).removed[:2].any()


def test_votes_are_counted_for_each_neighbors_label() -> None:
    labels = np.array([[7, 5, 7, 5, 7]])
    voting = np.array([[True, True, True, True, False]])
    np.testing.assert_array_equal(votes._votes(labels, voting), [[2, 2, 2, 2, 2]])
    voting[0, 1] = False
    np.testing.assert_array_equal(votes._votes(labels, voting), [[2, 1, 2, 1, 2]])
