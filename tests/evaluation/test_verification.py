from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from purify.evaluation.intervals import resample_weights, weighted_auc, weighted_tar
from purify.evaluation.verification import auc, fold_accuracy, roc_points, tar_at_far

SAME = np.arange(6000) % 2 == 0
FOLD = np.arange(6000) // 600


def _random(seed: int = 0, shift: float = 0.0) -> np.ndarray:
    return np.tanh(np.random.default_rng(seed).normal(0, 0.4, len(SAME)) + shift * SAME)


def test_random_scores_know_nothing() -> None:
    scores = _random()
    assert auc(scores, SAME) == pytest.approx(0.5, abs=0.03)
    assert fold_accuracy(scores, SAME, FOLD).mean() == pytest.approx(0.5, abs=0.03)
    assert tar_at_far(scores, SAME, 0.1) == pytest.approx(0.1, abs=0.03)


def test_perfect_scores_are_perfect() -> None:
    scores = np.where(SAME, 0.9, 0.1)
    assert auc(scores, SAME) == 1.0
    assert fold_accuracy(scores, SAME, FOLD).tolist() == [1.0] * 10
    assert tar_at_far(scores, SAME, 0.001) == 1.0


@given(st.integers(0, 10_000), st.integers(2, 8))
def test_auc_with_ties_equals_scikit_learn(seed: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    scores, same = rng.integers(0, levels, 60) / levels, rng.random(60) < 0.4
    same[:2] = True, False
    assert auc(scores, same) == pytest.approx(roc_auc_score(same, scores))
    weights = resample_weights(same, samples=3, seed=seed)
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


def test_roc_is_monotone_and_passes_through_the_tars() -> None:
    scores = _random(2, 0.6)
    points = np.array(roc_points(scores, SAME))
    assert (np.diff(points, axis=0) >= 0).all()
    assert points[-1].tolist() == [1.0, 1.0]
    at = points[np.searchsorted(points[:, 0], 0.1)]
    assert at[1] == pytest.approx(tar_at_far(scores, SAME, float(at[0])), abs=0.01)


@given(st.integers(0, 10_000), st.sampled_from([0.1, 0.3, 1.0]))
def test_tar_of_a_resample_is_the_tar_of_the_repeated_pairs(seed: int, far: float) -> None:
    rng = np.random.default_rng(seed)
    scores, same = rng.integers(0, 6, 50) / 6, np.arange(50) < 20
    weights = resample_weights(same, samples=4, seed=seed)
    for row, value in zip(weights.astype(int), weighted_tar(scores, same, weights, far), strict=True):
        assert value == pytest.approx(tar_at_far(np.repeat(scores, row), np.repeat(same, row), far))
