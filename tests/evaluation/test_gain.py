from __future__ import annotations

import json

import numpy as np
import pytest

from purify.evaluation.gain import compare_models
from purify.evaluation.intervals import interval, resample_weights, weighted_auc
from purify.evaluation.verification import auc

SAME = np.arange(2000) % 2 == 0
FOLD = np.arange(2000) // 200
N = {"raw": 100, "random": 70, "purified": 70, "oracle": 72}


def _scores(**quality: float) -> dict[str, np.ndarray]:
    noise = np.random.default_rng(0).normal(0, 1, len(SAME))
    return {name: np.tanh((noise + shift * SAME) / 4) for name, shift in quality.items()}


def _compare(scores: dict[str, np.ndarray]) -> dict:
    return compare_models(scores, SAME, FOLD, N, bootstrap=200, seed=0)


def test_gap_closed_and_differences() -> None:
    scores = _scores(raw=1.0, random=0.9, purified=1.8, oracle=2.0)
    result = _compare(scores)
    raw, purified, oracle = (auc(scores[name], SAME) for name in ("raw", "purified", "oracle"))
    gap = result["gap_closed"]["auc"]
    assert gap["value"] == pytest.approx((purified - raw) / (oracle - raw))
    assert gap["interval"][0] < gap["value"] < gap["interval"][1]
    assert result["differences"]["purified-raw"]["auc"] == pytest.approx(purified - raw)
    assert result["differences"]["purified-raw"]["interval"][0] > 0
    assert set(result["differences"]) == {"purified-raw", "purified-random", "purified-oracle"}
    assert result["models"]["raw"]["n_train"] == 100
    json.dumps(result, allow_nan=False)


def test_paired_differences_are_narrower_than_the_models_own_intervals() -> None:
    result = _compare(_scores(raw=1.0, purified=1.3))
    low, high = result["differences"]["purified-raw"]["interval"]
    own = result["models"]["raw"]["auc_interval"]
    assert high - low < (own[1] - own[0]) / 2


def test_no_gap_is_said_not_divided_by() -> None:
    assert "truth column" in _compare(_scores(raw=1.0, purified=1.2))["gap_closed_reason"]
    same = _compare(_scores(raw=1.0, purified=1.0, oracle=1.0))
    assert same["gap_closed"] is None
    assert "not clearly better" in same["gap_closed_reason"]


def test_equal_seeds_give_equal_figures() -> None:
    scores = _scores(raw=1.0, purified=1.5, oracle=1.6)
    assert _compare(scores) == _compare(scores)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    truth = 0.76025  # AUC of two unit normals one apart: Phi(1 / sqrt(2))
    same = np.arange(300) % 2 == 0
    hits = 0
    for trial in range(100):
        scores = rng.normal(0, 1, 300) + same
        low, high = interval(weighted_auc(scores, same, resample_weights(same, samples=200, seed=trial)))
        hits += low <= truth <= high
    assert 87 <= hits <= 100
