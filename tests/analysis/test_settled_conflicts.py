"""One picture under two labels: the probabilities, once more by counting the three cases."""

from __future__ import annotations

import numpy as np
import pytest

from purify.analysis.identities.merge import LabelMerge
from purify.analysis.identities.same_picture import SamePictures
from purify.analysis.rules.label_conflicts import explain_conflicts, settle
from purify.analysis.rules.rule import Outcome

LABEL = np.array([0, 0, 1, 1, 2, 3, 3])


def settled(pairs: list[tuple[int, int, float]], p_clean: list[float], merges=(), p_other=None, min_images: int = 1):
    first, second, p_same = (np.array(one) for one in zip(*pairs, strict=True))
    given = np.zeros(7) if p_other is None else np.array(p_other)
    return settle(
        SamePictures(first, second, p_same),
        tuple(merges),
        LABEL,
        np.array(p_clean),
        given,
        np.full(7, 9),
        min_images=min_images,
    )


@pytest.mark.parametrize("p_same", [1.0, 0.7])
@pytest.mark.parametrize(("own", "theirs"), [(0.9, 0.4), (0.2, 0.6), (0.5, 0.5), (0.99, 0.99)])
def test_two_labels_of_one_picture(own: float, theirs: float, p_same: float) -> None:
    found = settled([(0, 2, p_same)], [own, 0.8, theirs, 0.8, 0.8, 0.8, 0.8])
    cases = np.array([own * (1 - theirs), theirs * (1 - own), (1 - own) * (1 - theirs)])  # both can't be right
    only_own, only_theirs, _ = cases / cases.sum()
    assert found.p_clean[0] == pytest.approx(own * (1 - p_same) + p_same * min(own, only_own))
    assert found.p_clean[2] == pytest.approx(theirs * (1 - p_same) + p_same * min(theirs, only_theirs))
    assert found.p_other[0] == pytest.approx(p_same * only_theirs)
    assert found.p_other[2] == pytest.approx(p_same * only_own)
    assert found.other[[0, 2]].tolist() == [1, 0]
    assert found.twin.tolist() == [2, -1, 0, -1, -1, -1, -1]
    assert found.p_clean[[1, 3, 4, 5, 6]].tolist() == [0.8] * 5
    assert found.other[[1, 3, 4, 5, 6]].tolist() == [9] * 5


def test_the_surest_of_several_conflicts_counts() -> None:
    found = settled([(0, 2, 0.6), (0, 4, 0.9), (5, 6, 0.5)], [0.5] * 7)
    assert found.twin.tolist() == [4, -1, 0, -1, 0, 6, 5]


def test_a_likelier_other_label_stays_and_so_does_that_of_a_small_one() -> None:
    p_other = [0.0, 0.0, 0.6, 0.0, 0.0, 0.0, 0.0]
    found = settled([(0, 2, 1.0), (4, 5, 1.0)], [0.5] * 7, p_other=p_other, min_images=2)
    assert found.other.tolist() == [1, 9, 9, 9, 3, 9, 9]  # of row 5 the other one would be label 2, of one image
    assert found.p_other[2] == 0.6
    assert found.p_other[5] == 0


@pytest.mark.parametrize(("p_merge", "conflict"), [(0.9, 0.1), (0.97, 0.03), (0.89, 1.0)])
def test_two_names_of_one_person_contradict_each_other_less(p_merge: float, conflict: float) -> None:
    merge = LabelMerge(1, 0, 0.9, np.empty(0, int), p_merge)
    found = settled([(0, 2, 1.0)], [0.6, 0.8, 0.6, 0.8, 0.8, 0.8, 0.8], merges=[merge])
    only = 0.24 / (0.24 + 0.24 + 0.16)
    assert found.p_clean[0] == pytest.approx(0.6 * (1 - conflict) + conflict * only)


def test_certainty_on_both_sides_has_a_finite_answer() -> None:
    found = settled([(0, 2, 1.0)], [1.0] * 7)
    assert np.isfinite(found.p_clean).all()
    assert found.p_clean[0] == found.p_clean[2] == 0


def test_kept_images_in_doubt_are_left_to_a_person() -> None:
    decision = np.array(["keep", "keep", "drop", "keep", "keep", "keep", "keep"], object)
    reason = np.array(["near_dominant"] * 7, object)
    outcome = Outcome("r/1", decision, reason, np.full(7, -1), np.full(7, 9), np.full(7, 0.9), np.zeros(7))
    found = settled([(0, 2, 1.0), (4, 5, 0.1)], [0.6, 0.8, 0.6, 0.8, 0.81, 0.81, 0.1])
    explained = explain_conflicts(outcome, found)
    assert found.p_clean[4] < 0.8 < found.p_clean[1] + 1e-9
    assert explained.decision.tolist() == ["review", "keep", "drop", "keep", "review", "review", "keep"]
    conflict = [0, 2, 4, 5]
    assert (explained.reason[conflict] == "same_picture").all()
    assert (explained.reason[[1, 3, 6]] == "near_dominant").all()
    assert explained.evidence.tolist() == [2, -1, 0, -1, 5, 4, -1]
