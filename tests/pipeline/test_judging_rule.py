from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pyarrow as pa
import pytest

from purify.analysis.verdicts import Analysis
from purify.pipeline.judging_rule import judging_rule


def analysis(rule: str, why: str = "") -> Analysis:
    labels = pa.table({"label": ["a"] * 4, "p_clean": [0.9] * 4})
    return Analysis(labels, pa.table({}), rule, probabilities=rule.startswith("calibrated"), why=why)


def test_the_rule_asked_for_is_no_fallback() -> None:
    found = judging_rule(analysis("calibrated/4"), "calibrated")
    assert (found.rule, found.fallback, found.probabilities) == ("calibrated/4", False, True)
    assert found.why == "the rule asked for"


@pytest.mark.parametrize("rule", ["official/1", "unjudged/1"])
def test_a_fallback_says_why(rule: str) -> None:
    found = judging_rule(analysis(rule, "the embeddings hardly tell people apart"), "calibrated")
    assert (found.asked, found.rule, found.fallback, found.probabilities) == ("calibrated", rule, True, False)
    assert found.why == "the embeddings hardly tell people apart"


def test_distrust_names_the_remedy_and_outlives_the_round() -> None:
    again = np.zeros(len(analysis("calibrated/4").verdicts))  # the second reading finds every label wrong
    found = judging_rule(replace(analysis("calibrated/4"), second_reading=again), "calibrated")
    assert "pip install 'purify[faces]'" in found.weak
    assert found.noise_bounds is not None
    assert found.noise_bounds[1] == 1.0
    assert "trained on 4 images alone" in found.weak
    later = judging_rule(analysis("calibrated/4"), "calibrated", before=asdict(found))
    assert (later.weak, later.noise_bounds) == (found.weak, found.noise_bounds)
    assert judging_rule(analysis("calibrated/4"), "calibrated").weak == ""


def test_the_interval_of_a_small_set_allows_for_what_its_network_misses() -> None:
    labels = pa.table({"label": ["a", "b"] * 200, "p_clean": [0.0] * 40 + [1.0] * 360})
    small = Analysis(labels, pa.table({}), "calibrated/4", True, "", np.repeat([0.0, 1.0], [40, 360]))
    bounds = judging_rule(small, "calibrated").noise_bounds
    assert bounds is not None
    assert bounds[0] <= 0.1
    assert 0.2 < bounds[1] < 0.4


def test_the_interval_of_a_trusted_network_allows_for_its_error_on_its_own_labels() -> None:
    labels = pa.table({"label": ["a", "b"] * 800, "p_clean": [0.0] * 320 + [1.0] * 1280})
    trusted = Analysis(labels, pa.table({}), "calibrated/4", True, "", np.repeat([0.0, 1.0], [320, 1280]))
    found = judging_rule(trusted, "calibrated")
    assert found.weak == ""
    assert found.noise_bounds == pytest.approx((0.15, 0.25))
    assert judging_rule(replace(trusted, second_reading=None), "calibrated").noise_bounds is None
