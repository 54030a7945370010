from __future__ import annotations

from typing import Any

import pytest

from purify.report.verification_rows import gap_closed


def _evaluation(auc: float, accuracy: float | None = None) -> dict[str, Any]:
    closed = {"auc": {"value": auc, "interval": [auc - 0.3, auc + 0.4]}, "accuracy": None}
    if accuracy is not None:
        closed["accuracy"] = {"value": accuracy, "interval": [0.1, 1.2]}
    return {"gap_closed": closed, "differences": {"oracle-raw": {"auc": 0.0249}}}


@pytest.mark.parametrize(
    ("value", "short", "begin"),
    [
        (0.82, "82\u00a0%", "82 % of the gap in AUC from the raw to the truly clean set is closed (share 0.82, 95 %"),
        (1.31, "all", "All of the gap in AUC from the raw to the truly clean set is closed (share 1.31, 95 %"),
        (-0.2, "none", "None of the gap in AUC"),
    ],
)
def test_a_share_is_told_in_words(value: float, short: str, begin: str) -> None:
    told = gap_closed(_evaluation(value))
    assert told is not None
    assert told.short == short
    assert told.sentences[0].startswith(begin)


def test_a_share_above_one_is_explained_and_no_triumph() -> None:
    told = gap_closed(_evaluation(1.31, 0.95))
    assert told is not None
    assert len(told.sentences) == 3
    assert told.sentences[1].startswith("95 % of the gap in accuracy")
    assert "does not mean cleaner than clean: it divides by a gap of only 0.0249 in AUC" in told.sentences[2]
    assert "131" not in " ".join([told.short, *told.sentences])
    within = gap_closed(_evaluation(0.9, 0.95))
    assert within is not None
    assert len(within.sentences) == 2


def test_no_share_no_sentence() -> None:
    assert gap_closed({"gap_closed": None, "differences": {}}) is None
