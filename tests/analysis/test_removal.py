"""What is done with probabilities, decision by decision."""

from __future__ import annotations

import numpy as np
import pytest

from purify.analysis.rules.removal import (
    UNJUDGED,
    ask_a_person,
    decide,
    drop_at_most,
    expected_precision,
    explain_kept,
    explain_structure,
    keep_all,
    spare_small_classes,
)
from purify.analysis.rules.rule import Outcome
from purify.config import AnalyzeConfig
from purify.errors import InputError


def judged(p_clean, p_other, other, **config) -> Outcome:
    return decide("calibrated/3", np.array(p_clean), np.array(p_other), np.array(other), AnalyzeConfig(**config))


def test_decision_and_reason_at_each_limit() -> None:
    rows = [  # p_clean, p_other, other label -> decision, reason, new label
        ((0.5, 0.4, 3), ("keep", "near_dominant", -1)),
        ((0.499, 0.1, 3), ("drop", "open_set", -1)),
        ((0.4, 0.3, 3), ("drop", "closer_to_other_label", -1)),  # as probably of the other label as of none
        ((0.4, 0.299, 3), ("drop", "open_set", -1)),
        ((0.1, 0.8, 3), ("relabel", "closer_to_other_label", 3)),
        ((0.1, 0.799, 3), ("drop", "closer_to_other_label", -1)),
        ((0.1, 0.8, 0), ("relabel", "closer_to_other_label", 0)),
        ((0.1, 0.8, -1), ("drop", "closer_to_other_label", -1)),
        ((0.9, 0.9, 3), ("keep", "near_dominant", -1)),
    ]
    found = judged(*zip(*(given for given, _ in rows), strict=True))
    expected = [wanted for _, wanted in rows]
    assert list(zip(found.decision, found.reason, found.new_label.tolist(), strict=True)) == expected
    assert found.rule == "calibrated/3"


def test_hard_faces_are_kept_unless_surely_wrong_or_recognized() -> None:
    found = judged([0.05, 0.049, 0.3, 0.3, 0.6], [0.1, 0.1, 0.8, 0.79, 0.0], [1] * 5, keep_hard=True)
    assert found.decision.tolist() == ["keep", "drop", "relabel", "keep", "keep"]
    assert found.reason.tolist() == ["uncertain", "open_set", "closer_to_other_label", "uncertain", "near_dominant"]


def test_the_expected_precision_of_the_first_images() -> None:
    np.testing.assert_allclose(expected_precision(np.array([0.0, 0.1, 0.5])), [1, 0.95, 0.8])


def test_as_many_are_removed_as_the_precision_allows_and_ties_go_together() -> None:
    p_clean = np.concatenate([np.zeros(120), np.full(4, 0.5), np.full(50, 0.9)])
    found = judged(p_clean, np.zeros(174), np.full(174, -1), precision=122 / 124)
    assert (found.decision == "drop").tolist() == [True] * 124 + [False] * 50
    fewer = judged(p_clean, np.zeros(174), np.full(174, -1), precision=0.9999)
    assert (fewer.decision == "drop").sum() == 120
    part = judged(p_clean, np.zeros(174), np.full(174, -1), precision=0.99)  # two of the four would do: all of a tie
    assert (part.decision == "drop").sum() == 124


def test_a_precision_needs_a_hundred_images_to_show() -> None:
    p_clean = np.concatenate([np.zeros(100), np.full(60, 0.99)])
    assert (judged(p_clean, np.zeros(160), np.full(160, -1), precision=0.999).decision == "drop").sum() == 100
    with pytest.raises(InputError, match=r"only 99 of 159 samples .* \(at least 100 are needed\)"):
        judged(p_clean[1:], np.zeros(159), np.full(159, -1), precision=0.999)


def test_what_nothing_could_judge_is_kept() -> None:
    found = keep_all(3, why="two labels")
    assert (found.rule, found.why) == (UNJUDGED, "two labels") == ("unjudged/1", "two labels")
    assert found.decision.tolist() == ["keep"] * 3
    assert found.reason.tolist() == ["too_few_to_judge"] * 3
    assert found.new_label.tolist() == found.other.tolist() == [-1] * 3
    assert found.p_clean.tolist() == [1, 1, 1]
    assert np.isnan(found.p_other).all()


def outcome(decision: list[str], p_clean: list[float]) -> Outcome:
    new_label = np.where(np.array(decision) == "relabel", 7, -1)
    reason = np.array(["near_dominant"] * len(decision), object)
    other = np.full(len(decision), 7)
    return Outcome(
        "r/1", np.array(decision, object), reason, new_label, other, np.array(p_clean), np.zeros(len(p_clean))
    )


def test_kept_images_that_nothing_speaks_for_say_so() -> None:
    given = outcome(["keep", "keep", "keep", "drop", "keep"], [0.8, 0.8, 0.8, 0.2, 0.8])
    hard = np.array([0.4, 0.41, 0.0, 0.2, 0.41])
    found = explain_kept(given, hard, alone=np.array([False, False, True, True, True]))
    assert found.reason.tolist() == ["near_dominant", "hard", "too_few_to_judge", "near_dominant", "too_few_to_judge"]
    assert found.decision.tolist() == given.decision.tolist()


def test_the_likeliest_of_too_many_drops_are_spared() -> None:
    given = outcome(["drop", "keep", "drop", "drop", "relabel"], [0.3, 0.9, 0.1, 0.2, 0.0])
    found = drop_at_most(given, 0.4)
    assert found.decision.tolist() == ["keep", "keep", "drop", "drop", "relabel"]
    assert found.reason.tolist() == ["uncertain", *["near_dominant"] * 4]
    assert drop_at_most(given, 0.6).decision.tolist() == given.decision.tolist()
    assert given.decision[0] == "drop"  # not changed in place


def test_reasons_of_duplicate_labels_and_of_further_people() -> None:
    given = outcome(["relabel", "keep", "relabel", "drop", "keep"], [0.1, 0.9, 0.1, 0.1, 0.9])
    renamed = np.array([True, True, False, False, False])
    further = np.array([True, False, True, True, True])
    found = explain_structure(given, renamed=renamed, further=further)
    assert found.decision.tolist() == ["relabel", "keep", "relabel", "review", "review"]
    assert found.reason.tolist() == [
        "duplicate_of",
        "near_dominant",
        "near_dominant",
        "second_identity",
        "second_identity",
    ]


def test_drops_of_small_labels_are_left_to_a_person() -> None:
    given = outcome(["drop", "drop", "keep", "relabel"], [0.1, 0.1, 0.9, 0.1])
    found = spare_small_classes(given, np.array([4, 5, 4, 4]), AnalyzeConfig(min_images=5))
    assert found.decision.tolist() == ["review", "drop", "keep", "relabel"]
    assert found.reason.tolist() == ["too_few_to_judge", *["near_dominant"] * 3]


def test_a_person_is_asked_about_the_least_certain() -> None:
    given = outcome(["keep", "drop", "relabel", "review", "keep"], [0.7, 0.35, 0.6, 0.5, 0.99])
    found = ask_a_person(given, 2)
    assert found.decision.tolist() == ["keep", "review", "review", "review", "keep"]
    assert found.reason.tolist() == ["near_dominant", "uncertain", "uncertain", "near_dominant", "near_dominant"]
    assert found.new_label.tolist() == [-1] * 5
    assert given.new_label[2] == 7
    assert ask_a_person(given, 0).decision.tolist() == given.decision.tolist()
