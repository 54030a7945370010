from __future__ import annotations

import pyarrow as pa
import pytest

from purify.analysis.verdicts import Analysis
from purify.pipeline.judging_rule import judging_rule


def analysis(rule: str, why: str = "") -> Analysis:
    labels = pa.table({"label": ["a"] * 4})
    return Analysis(labels, pa.table({}), rule, probabilities=rule.startswith("calibrated"), why=why)


def test_the_rule_asked_for_is_no_fallback() -> None:
    found = judging_rule(analysis("calibrated/2"), "calibrated")
    assert (found.rule, found.fallback, found.probabilities) == ("calibrated/2", False, True)
    assert found.why == "the rule asked for"


@pytest.mark.parametrize("rule", ["official/1", "unjudged/1"])
def test_a_fallback_says_why(rule: str) -> None:
    found = judging_rule(analysis(rule, "the embeddings hardly tell people apart"), "calibrated")
    assert (found.asked, found.rule, found.fallback, found.probabilities) == ("calibrated", rule, True, False)
    assert found.why == "the embeddings hardly tell people apart"
