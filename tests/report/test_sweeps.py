from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purify.analysis.rules.angle_rules import OFFICIAL, PAPER
from purify.analysis.rules.rule import AngleEvidence
from purify.report.sweeps import PRECISIONS, Truth, angle_settings, sweep_official, sweep_paper, sweep_precision

RNG = np.random.default_rng(0)


@given(st.lists(st.floats(0, 179), min_size=1, max_size=30), st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_every_angle_removes_what_the_rule_itself_removes(angles: list[float], seed: int) -> None:
    degrees = np.round(np.array(angles), 2) + 0.003  # on no setting, where rounding would decide
    at_dominant = np.random.default_rng(seed).uniform(size=len(degrees)) < 0.7
    at = angle_settings(degrees)[::7]
    swept = {
        "official": sweep_official(degrees, at, p_clean=None, truth=None),
        "paper": sweep_paper(degrees, at_dominant, at, p_clean=None, truth=None),
    }
    other = np.where(at_dominant, 0, 1).astype(np.int32)
    nowhere = np.full(len(degrees), np.nan)
    cosines = np.cos(np.radians(degrees))
    evidence = AngleEvidence(other, np.zeros_like(other), cosines, np.full(len(degrees), -1), nowhere)
    for name, sweep in swept.items():
        rule = {"official": OFFICIAL, "paper": PAPER}[name]
        removed = [int((~rule.decide(evidence, float(threshold)).keep).sum()) for threshold in at]
        assert sweep.removed.tolist() == removed


def test_what_is_removed_is_counted_against_probabilities_and_truth() -> None:
    truth = Truth(wrong=np.array([False, True, True, True]), known=np.array([True, True, True, False]))
    p_clean = np.array([0.9, 0.5, 0.2, 0.1])
    sweep = sweep_official(np.array([40.0, 70, 80, 90]), np.array([60.0, 75, 95]), p_clean=p_clean, truth=truth)
    assert sweep.removed.tolist() == [3, 2, 0]
    assert sweep.expected_wrong == pytest.approx([2.2, 1.7, 0])
    np.testing.assert_allclose(sweep.precision, [1, 1, np.nan])
    np.testing.assert_allclose(sweep.recall, [1, 0.5, 0])


def test_images_without_an_angle_stay() -> None:
    sweep = sweep_official(np.array([np.nan, 80.0]), np.array([75.0]), p_clean=None, truth=None)
    assert sweep.removed.tolist() == [1]


def test_a_precision_removes_as_many_as_it_allows() -> None:
    p_clean = np.repeat([0.0, 0.1, 0.4, 1.0], [300, 300, 300, 100])
    sweep = sweep_precision(p_clean, np.zeros(1000, bool), truth=None)
    removed: Mapping[float, int] = dict(zip(sweep.at.tolist(), sweep.removed.tolist(), strict=True))
    assert sweep.expected_wrong is not None
    assert (sweep.expected_wrong / sweep.removed >= sweep.at - 0.15).all()  # ties go together
    assert removed[0.95] == 600
    assert removed[0.999] == 600  # 300 + the first of the next, and with it all that are alike
    assert list(removed) == PRECISIONS.tolist()


def test_a_precision_that_the_data_cannot_support_is_left_out() -> None:
    sweep = sweep_precision(np.r_[np.full(99, 0.001), np.full(500, 0.9)], np.zeros(599, bool), truth=None)
    assert max(sweep.at) == 0.99
    assert len(sweep_precision(np.full(50, 0.0), np.zeros(50, bool), truth=None).at) == 0
