from __future__ import annotations

from typing import Any

import pytest

from purify.evaluation.gain import gap_sentence
from purify.report.verification_rows import gap_closed


def _evaluation(auc: float, accuracy: float | None = None) -> dict[str, Any]:
    closed = {"auc": {"value": auc, "interval": [auc - 0.3, auc + 0.4]}, "accuracy": None}
    if accuracy is not None:
        closed["accuracy"] = {"value": accuracy, "interval": [0.1, 1.2]}
    return {"gap_closed": closed, "differences": {"oracle-raw": {"auc": 0.0249}}}


@pytest.mark.parametrize(
    ("value", "short", "gap"),
    [
        (0.82, "82\u00a0%", "82 % of the gap (95 % interval 52 to 122 %: not distinguishable from 100 %)."),
        (0.4, "40\u00a0%", "40 % of the gap (95 % interval 10 to 80 %)."),
        (1.31, "all", "the whole gap and more (131 % of the gap, 95 % interval 101 to 171 %)"),
        (0.2, "none for sure", "no certain share of the gap (20 % of the gap, 95 % interval -10 to 60 %"),
        (-0.2, "none for sure", "no certain share of the gap (-20 % of the gap"),
    ],
)
def test_a_share_is_told_in_the_words_of_the_evaluation(value: float, short: str, gap: str) -> None:
    told = gap_closed(_evaluation(value))
    assert told is not None
    assert told.short == short
    begin = "In AUC, from the raw to the truly clean set, purification closed "
    assert told.sentences[0].startswith(f"{begin}{gap}")
    assert told.sentences[0] == f"{begin}{gap_sentence(_evaluation(value)['gap_closed']['auc'])}."


def test_a_share_above_one_is_explained_and_no_triumph() -> None:
    told = gap_closed(_evaluation(1.31, 0.95))
    assert told is not None
    assert len(told.sentences) == 3
    assert told.sentences[1].startswith("In accuracy, from the raw to the truly clean set, purification closed 95 % of")
    assert "does not mean cleaner than clean: it divides by a gap of only 0.0249 in AUC" in told.sentences[2]
    assert "may also be the seeds of the two trainings" in told.sentences[0]
    assert "131" not in told.short
    within = gap_closed(_evaluation(0.9, 0.95))
    assert within is not None
    assert len(within.sentences) == 2


def test_no_share_no_sentence() -> None:
    assert gap_closed({"gap_closed": None, "differences": {}}) is None
