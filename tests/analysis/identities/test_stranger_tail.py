from __future__ import annotations

import math

import numpy as np
import pytest

from purify.analysis.identities.stranger_tail import StrangerTail, sure_pairs


def exponential(n: int, scale: float) -> np.ndarray:
    """Scores of which exactly ``n exp(-s / scale)`` reach s."""
    return -scale * np.log(np.arange(1, n + 1) / n)


def test_the_tail_is_fitted_between_the_ranks_60_and_600() -> None:
    scores = exponential(100_000, 0.07)
    scores[:59] = 9.0  # one person under two names: not looked at
    scores[600:50_000] += np.linspace(0, -0.01, 49_400)  # nor are those beyond
    tail = StrangerTail.fit(np.random.default_rng(0).permutation(scores), 4_000_000)
    assert (tail.pairs, tail.rank) == (4_000_000, 60)
    assert tail.score == pytest.approx(exponential(100_000, 0.07)[59])
    assert tail.scale == pytest.approx(0.07)


@pytest.mark.parametrize(("n", "rank", "last"), [(1000, 50, 500), (100, 5, 50), (10, 1, 5), (4, 1, 2), (2, 1, 2)])
def test_of_few_scores_the_upper_half_counts(n: int, rank: int, last: int) -> None:
    scores = np.sort(np.random.default_rng(1).random(n))
    tail = StrangerTail.fit(scores, n)
    assert tail.rank == rank
    assert tail.score == scores[::-1][rank - 1]
    assert tail.scale == pytest.approx((scores[::-1][rank - 1] - scores[::-1][last - 1]) / math.log(last / rank))


@pytest.mark.parametrize("scores", [[], [0.3]])
def test_a_single_pair_has_no_tail_and_nobody_is_surely_no_stranger(scores: list[float]) -> None:
    tail = StrangerTail.fit(np.array(scores), 0)
    assert tail == StrangerTail(1, 1, np.inf, 0.0)
    assert tail.expected(np.array([0.9]), 7).tolist() == [7]


def test_expected_strangers_fall_by_e_with_every_scale_and_are_never_more_than_the_comparisons() -> None:
    tail = StrangerTail(pairs=1000, rank=10, score=0.5, scale=0.1)
    found = tail.expected(np.array([0.5, 0.6, 0.7, 0.5 - 0.1 * math.log(100), 0.0, -99.0]), 200)
    np.testing.assert_allclose(found, [2, 2 / math.e, 2 / math.e**2, 200, 200, 200])
    equal = StrangerTail(pairs=1000, rank=10, score=0.5, scale=0.0)  # all scores equal: a step
    np.testing.assert_allclose(equal.expected(np.array([0.4, 0.5, 0.6]), 200), [200, 2, 0], atol=1e-12)


def test_pairs_are_accepted_up_to_the_last_at_which_few_are_false() -> None:
    expected = np.array([0.005, 0.03, 0.031, 0.2, 0.05])
    assert sure_pairs(expected, 0.01) == 5  # 0.05 of five: as Benjamini and Hochberg have it, whatever is before
    assert sure_pairs(expected[:4], 0.01) == 1
    assert sure_pairs(expected[:4], 0.011) == 3
    assert sure_pairs(np.array([0.02]), 0.01) == 0
    assert sure_pairs(np.array([0.01]), 0.01) == 1
    assert sure_pairs(np.empty(0), 0.01) == 0
