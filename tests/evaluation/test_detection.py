from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, roc_auc_score

from purify.errors import InputError
from purify.evaluation.detection import (
    auroc,
    average_precision,
    detection_figures,
    expected_calibration_error,
    score_verdicts,
)

samples = st.lists(st.tuples(st.integers(0, 6), st.booleans(), st.booleans()), min_size=1, max_size=40)


@settings(deadline=None)
@given(samples)
def test_ranking_figures_equal_those_of_scikit_learn_ties_included(rows: list) -> None:
    scores = np.array([row[0] / 6 for row in rows])
    positive = np.array([row[1] for row in rows])
    if positive.any():
        assert average_precision(scores, positive) == pytest.approx(average_precision_score(positive, scores))
    else:
        assert average_precision(scores, positive) is None
    if positive.any() and not positive.all():
        assert auroc(scores, positive) == pytest.approx(roc_auc_score(positive, scores))
    else:
        assert auroc(scores, positive) is None


@settings(deadline=None)
@given(samples)
def test_figures_agree_with_their_definitions(rows: list) -> None:
    p_clean = np.array([row[0] / 6 for row in rows])
    noise, removed = np.array([row[1] for row in rows]), np.array([row[2] for row in rows])
    figures = detection_figures(p_clean, removed, noise)
    assert figures["n"] == len(rows)
    assert figures["brier"] == pytest.approx(brier_score_loss(~noise, p_clean, pos_label=True))
    assert 0 <= figures["ece"] <= 1
    if noise.any():
        assert figures["f1"] == pytest.approx(f1_score(noise, removed, zero_division=0))
        assert figures["recall"] == pytest.approx(removed[noise].mean())
    else:
        assert figures["f1"] is figures["recall"] is figures["average_precision"] is None
    if (~noise).any():
        assert figures["clean_kept"] == pytest.approx((~removed)[~noise].mean())
    if (~removed).any():
        assert figures["residual_noise"] == pytest.approx(noise[~removed].mean())
    if removed.any():
        assert figures["precision"] == pytest.approx(noise[removed].mean())


def test_calibration_error_of_known_answers() -> None:
    assert expected_calibration_error(np.array([1.0, 0.0]), np.array([1.0, 0.0])) == 0
    assert expected_calibration_error(np.array([1.0, 1.0]), np.array([0.0, 0.0])) == 1
    assert expected_calibration_error(np.full(4, 0.75), np.array([1.0, 1, 1, 0])) == pytest.approx(0)
    assert expected_calibration_error(np.array([0.9, 0.1]), np.array([1.0, 0.0])) == pytest.approx(0.1)


def verdict_table(**changes: list) -> pa.Table:
    columns = {
        "sample_id": ["1", "2", "3", "4"],
        "label": ["a", "a", "b", "b"],
        "p_clean": [0.9, 0.2, 0.8, 0.3],
        "decision": ["keep", "drop", "keep", "relabel"],
        "new_label": [None, None, None, "a"],
    }
    types = {"p_clean": pa.float32()}
    return pa.table({k: pa.array(v, types.get(k, pa.string())) for k, v in (columns | changes).items()})


@pytest.mark.parametrize("id_column", ["sample_id", "path"])
def test_verdicts_are_matched_with_the_truth_by_id(id_column: str) -> None:
    truth = pa.table(
        {
            id_column: ["9", "4", "3", "2", "1"],
            "true_label": ["x", "a", "b", "", "a"],
            "kind": ["clean", "flip", "clean", "outlier", "clean"],
        }
    )
    figures = score_verdicts(verdict_table(), truth)
    assert figures["n"] == 4
    assert figures["n_noise"] == 2
    assert figures["noise_share"] == 0.5
    assert figures["f1"] == figures["recall"] == figures["average_precision"] == figures["clean_kept"] == 1
    assert figures["residual_noise"] == 0
    assert figures["recall_per_kind"] == {"flip": 1.0, "outlier": 1.0}
    assert figures["n_relabeled"] == 1
    assert figures["relabel_accuracy"] == 1
    assert figures["not_judged"] == 1
    assert figures["unknown"] == 0


def test_unknown_truth_is_left_out_and_counted_but_an_empty_one_is_noise() -> None:
    truth = pa.table({"sample_id": ["1", "2", "3", "4"], "true_label": ["a", None, "", "b"]})
    figures = score_verdicts(verdict_table(), truth)
    assert (figures["n"], figures["unknown"], figures["n_noise"]) == (3, 1, 1)
    assert figures["recall"] == 0
    assert figures["relabel_accuracy"] == 0
    assert "recall_per_kind" not in figures


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        ({"sample_id": ["1"]}, "missing column true_label"),
        ({"true_label": ["1"]}, "missing column path"),
        ({"sample_id": ["1", "1"], "true_label": ["a", "b"]}, "truth: 1 occurs twice"),
        ({"sample_id": ["1", "2"], "true_label": ["a", "b"]}, "2 of 4 judged samples are not in it, such as 3, 4"),
        ({"sample_id": list("1234"), "true_label": pa.nulls(4, pa.string())}, "no judged sample"),
    ],
)
def test_a_truth_that_does_not_fit_is_refused(truth: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        score_verdicts(verdict_table(), pa.table(truth))


def test_verdicts_that_can_not_be_scored_are_refused() -> None:
    truth = pa.table({"sample_id": list("1234"), "true_label": list("aabb")})
    with pytest.raises(InputError, match="p_clean"):
        score_verdicts(verdict_table(p_clean=[0.1, None, 0.2, 0.3]), truth)
    with pytest.raises(InputError, match="verdicts: 1 occurs twice"):
        score_verdicts(verdict_table(sample_id=["1", "1", "3", "4"]), truth)
