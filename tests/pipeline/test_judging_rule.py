from __future__ import annotations

import pyarrow as pa
import pytest

from purify.analysis.verdicts import Analysis
from purify.pipeline.judging_rule import judging_rule


def analysis(labels: list[str], rule: str) -> Analysis:
    return Analysis(pa.table({"label": labels}), pa.table({}), rule, probabilities=rule.startswith("calibrated"))


def test_the_rule_asked_for_is_no_fallback() -> None:
    found = judging_rule(analysis(["a"] * 4, "calibrated/1"), "calibrated")
    assert (found.rule, found.fallback, found.probabilities) == ("calibrated/1", False, True)


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        (["a", "a", "b", "b"], "fewer than 3 labels"),
        (["a", "a", "b", "b", "c", "c", "d"], "1 of 7 images are alone under their label"),
        (list("aabbcc") * 4 + ["d"], "the embeddings hardly tell people apart"),
    ],
)
def test_a_fallback_says_why(labels: list[str], why: str) -> None:
    found = judging_rule(analysis(labels, "official/1"), "calibrated")
    assert found.fallback
    assert found.why.startswith(why)
