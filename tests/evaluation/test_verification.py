from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from purify.evaluation.intervals import (
    resample_weights,
    weighted_accuracy,
    weighted_auc,
    weighted_tar,
)
from purify.evaluation.verification import DISTANCE_GRID, auc, fold_accuracy, roc_points, tar_at_far

SAME = np.arange(6000) % 2 == 0
FOLD = np.arange(6000) // 600


def _random(seed: int = 0, shift: float = 0.0) -> np.ndarray:
    return np.tanh(np.random.default_rng(seed).normal(0, 0.4, len(SAME)) + shift * SAME)


def _weights(same: np.ndarray, *, samples: int, seed: int) -> np.ndarray:
    return np.concatenate(list(resample_weights(same, samples=samples, seed=seed)))


def test_random_scores_know_nothing() -> None:
    scores = _random()
    assert auc(scores, SAME) == pytest.approx(0.5, abs=0.03)
    assert fold_accuracy(scores, SAME, FOLD).mean() == pytest.approx(0.5, abs=0.03)
    assert tar_at_far(scores, SAME, 0.1) == pytest.approx(0.1, abs=0.03)
    assert tar_at_far(scores, SAME, 0.01) == pytest.approx(0.01, abs=0.01)


def test_perfect_scores_are_perfect() -> None:
    scores = np.where(SAME, 0.9, 0.1)
    assert auc(scores, SAME) == 1.0
    assert fold_accuracy(scores, SAME, FOLD).tolist() == [1.0] * 10
    assert tar_at_far(scores, SAME, 0.001) == 1.0


def test_equal_scores_are_worth_a_coin() -> None:
    scores = np.full(len(SAME), 0.3)
    assert auc(scores, SAME) == 0.5
    assert fold_accuracy(scores, SAME, FOLD).tolist() == [0.5] * 10
    assert tar_at_far(scores, SAME, 0.1) == 0.0


@given(st.integers(0, 10_000), st.integers(2, 8))
def test_auc_with_ties_equals_scikit_learn(seed: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    scores, same = rng.integers(0, levels, 60) / levels, rng.random(60) < 0.4
    same[:2] = True, False
    assert auc(scores, same) == pytest.approx(roc_auc_score(same, scores))
    weights = _weights(same, samples=3, seed=seed)
    expected = [roc_auc_score(same, scores, sample_weight=w) for w in weights]
    np.testing.assert_allclose(weighted_auc(scores, same, weights), expected)


def test_a_shift_of_all_scores_leaves_tar_at_far() -> None:
    scores = _random(1, 0.5)
    assert tar_at_far(scores, SAME, 0.01) == tar_at_far(scores + 5, SAME, 0.01)


def test_far_is_never_exceeded_not_even_by_ties() -> None:
    same = np.array([True] * 4 + [False] * 10)
    scores = np.array([0.9, 0.7, 0.5, 0.1, 0.7, 0.7, 0.3, 0.2, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1])
    assert tar_at_far(scores, same, 0.1) == 0.25  # one impostor would be allowed, but two tie at 0.7
    assert tar_at_far(scores, same, 0.2) == 0.75
    assert tar_at_far(scores, same, 1.0) == 1.0


def test_a_far_finer_than_one_impostor_is_refused() -> None:
    assert tar_at_far(_random(), SAME, 1 / 3001) is None
    assert tar_at_far(_random(), SAME, 1 / 3000) is not None


def test_a_fold_is_never_judged_by_its_own_threshold() -> None:
    same = np.tile([True, False], 20)
    fold = np.repeat([0, 1], 20)
    scores = np.where(same, 0.8, 0.6)
    scores[fold == 1] = np.where(same[fold == 1], 0.4, 0.2)  # the best threshold of one fold is wrong on the other
    assert fold_accuracy(scores, same, fold).tolist() == [0.5, 0.5]


def test_accuracy_follows_the_field_scripts() -> None:
    """The loop of the field's evaluation, written out: squared distances of unit vectors, folds in blocks."""
    scores = _random(4, 0.35)
    angle = np.arccos(scores)
    a, b = np.tile([1.0, 0.0], (len(angle), 1)), np.stack([np.cos(angle), np.sin(angle)], axis=1)
    distance = np.square(a - b).sum(axis=1)
    expected = []
    for k in range(10):
        test = np.zeros(len(SAME), bool)
        test[k * 600 : (k + 1) * 600] = True
        on_train = [np.mean((distance[~test] < t) == SAME[~test]) for t in DISTANCE_GRID]
        expected.append(np.mean((distance[test] < DISTANCE_GRID[np.argmax(on_train)]) == SAME[test]))
    assert (len(DISTANCE_GRID), DISTANCE_GRID[-1]) == (400, pytest.approx(3.99))
    assert fold_accuracy(scores, SAME, FOLD).tolist() == expected


def test_roc_holds_the_tars_at_its_fars() -> None:
    points = roc_points(_random(2, 0.6), SAME)
    assert points[0][0] == 1 / 3000
    assert points[-1] == (1.0, 1.0)
    assert (np.diff(points, axis=0)[:, 0] > 0).all()
    assert (np.diff(points, axis=0)[:, 1] >= 0).all()
    assert all(tar == pytest.approx(tar_at_far(_random(2, 0.6), SAME, far)) for far, tar in points)
    assert roc_points(np.array([0.5, 0.5]), np.array([True, False])) == [(1.0, 1.0)]


@given(st.integers(0, 10_000), st.sampled_from([0.1, 0.3, 1.0]))
def test_figures_of_a_resample_are_those_of_the_repeated_pairs(seed: int, far: float) -> None:
    rng = np.random.default_rng(seed)
    scores, same, fold = rng.integers(0, 6, 50) / 6, np.arange(50) < 20, np.arange(50) % 3
    weights = _weights(same, samples=4, seed=seed)
    tars = weighted_tar(scores, same, weights, far)
    accuracies = weighted_accuracy(scores, same, fold, weights)
    for row, tar, accuracy in zip(weights.astype(int), tars, accuracies, strict=True):
        drawn_scores, drawn_same, drawn_fold = (np.repeat(x, row) for x in (scores, same, fold))
        assert tar == pytest.approx(tar_at_far(drawn_scores, drawn_same, far))
        assert accuracy == pytest.approx(fold_accuracy(drawn_scores, drawn_same, drawn_fold).mean())


def test_resamples_draw_each_kind_as_often_as_it_is_there_and_come_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    same = np.arange(50) < 20
    monkeypatch.setattr("purify.evaluation.intervals.MOST_CELLS", 150)
    blocks = list(resample_weights(same, samples=7, seed=1))
    assert [len(block) for block in blocks] == [3, 3, 1]
    weights = np.concatenate(blocks)
    assert (weights[:, same].sum(axis=1) == 20).all()
    assert (weights[:, ~same].sum(axis=1) == 30).all()
    assert len(np.unique(weights, axis=0)) == 7
