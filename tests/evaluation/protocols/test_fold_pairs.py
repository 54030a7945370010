from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import interpolate
from sklearn.metrics import roc_auc_score, roc_curve
from sklearn.model_selection import KFold

from purify.evaluation.people import People
from purify.evaluation.protocols.error_rates import equal_error_rate, roc_steps, tar_at_nearest_far
from purify.evaluation.protocols.fold_pairs import FoldedPairs, file_folds, interpolated_val, verify_folds
from purify.evaluation.protocols.protocol_figures import far_name

SAME = np.arange(6000) % 2 == 0
PAIRS = FoldedPairs(SAME, file_folds(6000))


def _scores(shift: float, seed: int = 0, *, decimals: int | None = None) -> np.ndarray:
    scores = np.tanh(np.random.default_rng(seed).normal(0, 0.3, len(SAME)) + shift * SAME)
    return scores if decimals is None else scores.round(decimals)


def test_perfect_scores_give_one() -> None:
    found = verify_folds(np.where(SAME, 0.9, 0.1), PAIRS, samples=100)
    values = {name: figure.value for name, figure in found.figures.items()}
    assert values.pop("EER") == 0
    assert set(values.values()) == {1.0}
    assert set(values) == {"accuracy", "AUC", "TAR@FAR=1e-1", "TAR@FAR=1e-2", "TAR@FAR=1e-3"}
    assert all(figure.interval == (figure.value,) * 2 for figure in found.figures.values())


def test_random_scores_give_chance() -> None:
    figures = verify_folds(_scores(0), PAIRS, samples=100).figures
    assert figures["accuracy"].value == pytest.approx(0.5, abs=0.03)
    assert figures["EER"].value == pytest.approx(0.5, abs=0.03)
    for far in (0.1, 0.01, 0.001):
        assert figures[far_name("TAR@FAR", far)].value == pytest.approx(far, abs=3 * np.sqrt(far / 3000))


def test_equal_scores_know_nothing() -> None:
    figures = verify_folds(np.full(6000, 0.3), PAIRS, samples=20).figures
    assert figures["AUC"].value == figures["EER"].value == figures["accuracy"].value == 0.5
    assert figures["TAR@FAR=1e-1"].value == 0  # all or none of the tied different pairs


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.floats(0, 1), st.sampled_from([None, 1, 2]))
def test_the_rates_are_scikit_learns(seed: int, shift: float, decimals: int | None) -> None:
    scores = _scores(shift, seed, decimals=decimals)
    far, tar, _ = roc_curve(SAME, scores, drop_intermediate=False)
    found = roc_steps(scores, SAME)
    np.testing.assert_allclose(found, (far, tar), atol=1e-12)
    assert verify_folds(scores, PAIRS, samples=1).figures["AUC"].value == pytest.approx(
        roc_auc_score(SAME, scores), abs=1e-12
    )
    after = int(np.argmax(far >= 1 - tar))
    x = np.linspace(0, 1, 3)
    line = interpolate.interp1d([0, 1], [(far[after - 1], tar[after - 1]), (far[after], tar[after])], axis=0)(x)
    gap = line[:, 0] - 1 + line[:, 1]
    crossing = np.interp(0, gap, line[:, 0]) if gap[-1] > gap[0] else line[0, 0]
    assert equal_error_rate(scores, SAME) == pytest.approx(crossing, abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([None, 1, 2]), st.sampled_from([1e-6, 1e-3, 0.01, 0.1]))
def test_the_nearest_point_is_that_of_the_public_script(seed: int, decimals: int | None, far: float) -> None:
    scores = _scores(0.4, seed, decimals=decimals)
    fpr, tpr, _ = roc_curve(SAME, scores)
    fpr, tpr = np.flipud(fpr), np.flipud(tpr)
    expected = tpr[min(zip(abs(fpr - far), range(len(fpr)), strict=True))[1]]
    assert tar_at_nearest_far(scores, SAME, far) == pytest.approx(expected, abs=1e-12)


def test_folds_are_those_of_scikit_learn() -> None:
    for pairs in (6000, 7000, 600, 37):
        fold = file_folds(pairs)
        for number, (_, test) in enumerate(KFold(10).split(np.arange(pairs))):
            assert np.flatnonzero(fold == number).tolist() == test.tolist()


def test_the_held_out_fold_never_chooses_its_threshold() -> None:
    scores = np.where(SAME, 0.9, 0.1)
    scores[:600] = np.where(SAME[:600], 0.3, -0.5)  # its own best threshold would be perfect
    found = verify_folds(scores, PAIRS, samples=1).figures["accuracy"]
    assert found.value == pytest.approx((9 + 0.5) / 10)
    assert found.std == pytest.approx(np.std([1.0] * 9 + [0.5]))


def test_shifted_scores_move_no_rate() -> None:
    scores = _scores(0.5)
    one, other = (verify_folds(values, PAIRS, samples=1).figures for values in (scores, scores - 0.2))
    for name in ("AUC", "EER", "TAR@FAR=1e-3"):
        assert one[name].value == pytest.approx(other[name].value, abs=1e-12)


def test_one_fold_has_no_accuracy() -> None:
    found = verify_folds(_scores(1), FoldedPairs(SAME, np.zeros(6000, np.int64)), samples=5)
    assert "accuracy" not in found.figures
    assert "one fold" in found.refused["accuracy"]


def test_a_rate_finer_than_one_pair_is_refused() -> None:
    found = verify_folds(_scores(1), PAIRS, fars=(1e-3, 1e-4), samples=5)
    assert found.refused == {"TAR@FAR=1e-4": "needs 10,000 different pairs, there are 3,000"}
    assert "TAR@FAR=1e-3" in found.figures


def _script_val(distance: np.ndarray, fold: np.ndarray, far: float) -> list[float]:
    """InsightFace's procedure as a loop over the segments of its grid."""
    grid, values = np.arange(0, 4, 0.001), []
    for number in range(10):
        train, test = fold != number, fold == number
        fars = [(distance[train & ~SAME] < t).mean() for t in grid]
        threshold = 0.0
        for k in range(1, len(grid)):
            if fars[k - 1] < far <= fars[k]:
                threshold = grid[k - 1] + (far - fars[k - 1]) / (fars[k] - fars[k - 1]) * 0.001
        values.append(float((distance[test & SAME] < threshold).mean()))
    return values


def test_val_is_that_of_the_public_script() -> None:
    for seed in range(2):
        scores = _scores(0.6, seed)
        expected = _script_val(2 - 2 * scores, PAIRS.fold, 1e-3)
        found = interpolated_val(scores, PAIRS, 1e-3)
        assert found.value == pytest.approx(np.mean(expected), abs=1e-12)
        assert found.std == pytest.approx(np.std(expected), abs=1e-12)


def test_people_widen_the_interval() -> None:
    """Pairs of few people are not independent: one person in all pairs decides alone."""
    rng = np.random.default_rng(1)
    people = np.stack([rng.integers(0, 30, 6000), rng.integers(0, 30, 6000)], axis=1)
    people[SAME, 1] = people[SAME, 0]
    scores = np.tanh(rng.normal(0, 0.1, 30)[people].sum(axis=1) + rng.normal(0, 0.2, 6000) + 0.4 * SAME)
    known = verify_folds(scores, FoldedPairs(SAME, PAIRS.fold, People(*people.T, 30)), samples=300)
    unknown = verify_folds(scores, PAIRS, samples=300)
    widths = [np.diff(found.figures["AUC"].interval or (0, 0))[0] for found in (known, unknown)]
    assert (known.drawn_over, unknown.drawn_over) == ("people", "pairs")
    assert widths[0] > 2 * widths[1]
