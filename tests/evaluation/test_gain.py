from __future__ import annotations

import json

import numpy as np
import pytest

from purify.evaluation.gain import compare_models, gap_sentence
from purify.evaluation.intervals import interval, resample_weights, weighted_auc
from purify.evaluation.verification import auc, fold_accuracy

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
    figures = {
        "auc": [auc(scores[name], SAME) for name in ("raw", "purified", "oracle")],
        "accuracy": [fold_accuracy(scores[name], SAME, FOLD).mean() for name in ("raw", "purified", "oracle")],
    }
    for figure, (raw, purified, oracle) in figures.items():
        gap = result["gap_closed"][figure]
        assert gap["value"] == pytest.approx((purified - raw) / (oracle - raw))
        assert gap["interval"][0] < gap["value"] < gap["interval"][1]
        assert result["differences"]["purified-raw"][figure] == pytest.approx(purified - raw)
    assert "gap_closed_reason" not in result
    assert result["differences"]["purified-raw"]["interval"][0] > 0
    assert result["differences"]["purified-raw"]["accuracy_interval"][0] > 0
    assert set(result["differences"]) == {"purified-raw", "purified-random", "purified-oracle", "oracle-raw"}
    assert result["models"]["raw"]["n_train"] == 100


@pytest.mark.parametrize(
    ("value", "interval", "sentence"),
    [
        (0.82, (0.7, 0.931), "82 % of the gap (95 % interval 70 to 93 %)"),
        (0.9, (0.6, 1.2), "90 % of the gap (95 % interval 60 to 120 %: not distinguishable from 100 %)"),
        (
            1.31,
            (0.9, 1.8),
            "the whole gap, as far as these pairs can tell "
            "(131 % of the gap, 95 % interval 90 to 180 %: not distinguishable from 100 %)",
        ),
        (
            0.2,
            (-0.3, 0.7),
            "no certain share of the gap (20 % of the gap, 95 % interval -30 to 70 %: not distinguishable from none)",
        ),
        (
            1.31,
            (1.1, 1.5),
            "the whole gap and more (131 % of the gap, 95 % interval 110 to 150 %): on these pairs the purified model "
            "beats the oracle, a difference that may also be the seeds of the two trainings",
        ),
    ],
)
def test_a_share_of_the_gap_is_worded_with_its_interval(
    value: float, interval: tuple[float, float], sentence: str
) -> None:
    assert gap_sentence({"value": value, "interval": interval}) == sentence


def test_the_answer_is_plain_json() -> None:
    result = _compare(_scores(raw=1.0, purified=1.8, oracle=2.0))
    assert json.loads(json.dumps(result, allow_nan=False))["models"]["raw"]["auc"] == result["models"]["raw"]["auc"]


def test_a_far_that_cannot_be_measured_is_left_out_with_the_reason() -> None:
    few = np.arange(120)
    result = compare_models(
        {"raw": _scores(raw=1.0)["raw"][few]}, SAME[few], FOLD[few] % 2 + few % 3, N, bootstrap=100, seed=0
    )
    model = result["models"]["raw"]
    assert set(model["tar_at_far"]) == {"0.1"}
    assert model["tar_refused"] == {
        "0.01": "needs 100 different pairs, there are 60",
        "0.001": "needs 1000 different pairs, there are 60",
    }
    low, high = model["tar_at_far"]["0.1"]["interval"]
    assert 0 <= low <= model["tar_at_far"]["0.1"]["value"] <= high <= 1


def test_paired_differences_are_narrower_than_the_models_own_intervals() -> None:
    result = _compare(_scores(raw=1.0, purified=1.3))
    low, high = result["differences"]["purified-raw"]["interval"]
    own = result["models"]["raw"]["auc_interval"]
    assert high - low < (own[1] - own[0]) / 2


def test_no_gap_is_said_not_divided_by() -> None:
    missing = _compare(_scores(raw=1.0, purified=1.2))
    assert missing["gap_closed"] is None
    assert "oracle" in missing["gap_closed_reason"]
    same = _compare(_scores(raw=1.0, purified=1.0, oracle=1.0))
    assert same["gap_closed"] is None
    assert "not clearly better" in same["gap_closed_reason"]
    worse = _compare(_scores(raw=1.5, purified=1.0, oracle=1.0))
    assert worse["gap_closed"] is None


def test_a_gap_in_auc_alone_is_closed_in_auc_alone() -> None:
    different = np.random.default_rng(0).uniform(0, 0.2, len(SAME))
    lost = np.arange(len(SAME)) % 10 == 0  # same pairs among the different ones, below any good threshold
    ranks = {"raw": 0.0, "purified": 0.05, "oracle": 0.1}
    result = _compare({name: np.where(SAME, np.where(lost, at, 0.8), different) for name, at in ranks.items()})
    assert result["gap_closed"]["auc"]["value"] == pytest.approx(0.5, abs=0.1)
    assert result["gap_closed"]["accuracy"] is None
    assert "accuracy" in result["gap_closed_reason"]
    assert "AUC" not in result["gap_closed_reason"]


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
        (weights,) = resample_weights(same, samples=200, seed=trial)
        low, high = interval(weighted_auc(scores, same, weights))
        hits += low <= truth <= high
    assert 87 <= hits <= 100
