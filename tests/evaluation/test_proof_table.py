from __future__ import annotations

import json

import numpy as np
import pytest

from purify.evaluation.gain import compare_models
from purify.evaluation.people import People
from purify.evaluation.proof_table import compare_cells, seed_draws
from purify.evaluation.verification import auc

PEOPLE = 200
SAME = np.arange(1200) < 600
FIRST = np.arange(1200) % PEOPLE
SECOND = np.where(SAME, FIRST, (FIRST + 1 + np.arange(1200) // PEOPLE) % PEOPLE)
WHO = People(FIRST, SECOND, PEOPLE)
FOLD = np.arange(1200) % 600 // 60


def _scores(quality: float, seed: int, own: float = 0.3) -> np.ndarray:
    shared = np.random.default_rng(0).normal(0, 1, 1200)
    noise = np.random.default_rng([seed, int(1000 * quality)]).normal(0, own, 1200)
    return np.tanh((shared + noise + quality * SAME) / 4)


def _cells(**quality: float) -> dict[str, dict[int, np.ndarray]]:
    return {name.replace("_", "-"): {s: _scores(q, s) for s in (0, 1, 2)} for name, q in quality.items()}


def _compare(
    cells: dict[str, dict[int, np.ndarray]], *pairs: tuple[str, str], seeds: tuple[int, ...] = (0, 1, 2)
) -> dict:
    return compare_cells(cells, SAME, FOLD, WHO, seeds=seeds, pairs_of_cells=pairs, bootstrap=100, seed=0)


def test_cells_are_the_mean_of_their_seeds_and_compared_pair_by_pair() -> None:
    cells = _cells(k1_raw=1.0, calibrated=1.6, oracle=1.9)
    result = _compare(cells, ("calibrated", "k1-raw"), ("calibrated", "oracle"), ("calibrated", "missing"))
    aucs = {name: [auc(values, SAME) for values in by_seed.values()] for name, by_seed in cells.items()}
    for name, values in aucs.items():
        figure = result["cells"][name]["auc"]
        assert figure["value"] == pytest.approx(np.mean(values))
        assert figure["by_seed"] == values
        assert figure["interval"][0] < figure["value"] < figure["interval"][1]
    raw, ours, oracle = (np.mean(aucs[name]) for name in ("k1-raw", "calibrated", "oracle"))
    assert set(result["differences"]) == {"calibrated-k1-raw", "calibrated-oracle"}
    assert result["differences"]["calibrated-k1-raw"]["auc"]["value"] == pytest.approx(ours - raw)
    assert result["differences"]["calibrated-k1-raw"]["auc"]["finding"] == "better"
    assert result["differences"]["calibrated-oracle"]["auc"]["finding"] == "worse"
    gap = result["cells"]["calibrated"]["gap_closed"]
    assert gap["value"] == pytest.approx((ours - raw) / (oracle - raw))
    assert gap["interval"][0] < gap["value"] < gap["interval"][1] < 1
    assert result["gap_reason"] is None
    assert result["cells"]["oracle"]["gap_closed"] is None
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_a_difference_smaller_than_the_spread_of_the_seeds_is_not_called_better() -> None:
    rng = np.random.default_rng(5)
    cells = {
        name: {s: _scores(1.5 + shift + rng.normal(0, 0.25), s, own=0.01) for s in range(4)}
        for name, shift in (("k1-raw", 0.0), ("calibrated", 0.05))
    }
    pair = ("calibrated", "k1-raw")
    with_seeds = _compare(cells, pair, seeds=(0, 1, 2, 3))["differences"]["calibrated-k1-raw"]["auc"]
    assert with_seeds["finding"] == "no clear difference"
    single = [
        compare_models(
            {"purified": cells["calibrated"][s], "raw": cells["k1-raw"][s]},
            SAME,
            FOLD,
            {"purified": 1, "raw": 1},
            bootstrap=100,
            seed=0,
            people=WHO,
        )["differences"]["purified-raw"]["finding"]
        for s in range(4)
    ]
    assert {"better", "worse"} <= set(single)  # each single seed would have been sure of itself


def test_the_interval_over_seeds_has_the_variance_of_a_mean() -> None:
    for seeds in (2, 3, 8):
        draws = seed_draws(seeds, samples=20_000, seed=1)
        assert (draws.sum(axis=1) == max(1, seeds - 1)).all()
        values = np.random.default_rng(seeds).normal(size=seeds)
        means = (draws * values).sum(axis=1) / draws.sum(axis=1)
        assert means.var() == pytest.approx(values.var(ddof=1) / seeds, rel=0.05)
    assert (seed_draws(1, samples=10, seed=0) == 1).all()


def test_an_unfinished_cell_is_compared_on_the_seeds_that_it_has() -> None:
    cells = _cells(k1_raw=1.0, calibrated=1.6, oracle=1.9)
    del cells["calibrated"][1], cells["calibrated"][2]
    result = _compare(cells, ("calibrated", "k1-raw"))
    assert result["cells"]["calibrated"]["seeds"] == [0]
    assert result["cells"]["calibrated"]["auc"]["by_seed"][1:] == [None, None]
    expected = auc(cells["calibrated"][0], SAME) - auc(cells["k1-raw"][0], SAME)
    assert result["differences"]["calibrated-k1-raw"]["auc"]["value"] == pytest.approx(expected)
    cells["calibrated"] = {}
    del cells["calibrated"]
    assert "calibrated" not in _compare(cells)["cells"]


def test_without_a_gap_none_is_closed() -> None:
    same = _compare(_cells(k1_raw=1.5, calibrated=1.6, oracle=1.5))
    assert same["cells"]["calibrated"]["gap_closed"] is None
    assert "not clearly better" in same["gap_reason"]
    assert "no cell oracle" in _compare(_cells(k1_raw=1.5, calibrated=1.6))["gap_reason"]
