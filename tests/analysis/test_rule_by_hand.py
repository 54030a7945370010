"""What the calibrated rule makes of a given structure and given probabilities, and when it gives way."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from purify.analysis.identities.merge import LabelMerge
from purify.analysis.identities.structure import Structure
from purify.analysis.label_noise.calibration import Calibration
from purify.analysis.label_noise.learned_labels import LearnedLabels
from purify.analysis.rules import calibrated
from purify.analysis.rules.calibrated import CALIBRATED, Judged, judge
from purify.analysis.rules.rule import Outcome, RuleContext
from purify.analysis.search import unit
from purify.analysis.subcenters import SubcenterSpace
from purify.config import AnalyzeConfig
from purify.errors import InputError

LABELS, IMAGES = 10, 12
N = LABELS * IMAGES
LABEL = np.repeat(np.arange(LABELS), IMAGES)
VECTORS = np.random.default_rng(0).normal(size=(N, 64)).astype(np.float32)


@dataclass
class Measured:
    """Probabilities and structure to be found, whatever the vectors; the labels that were asked for."""

    p_clean: np.ndarray = field(default_factory=lambda: np.full(N, 0.995))
    target: np.ndarray = field(default_factory=lambda: np.full(N, -1))
    p_target: np.ndarray = field(default_factory=lambda: np.zeros(N))
    group: np.ndarray = field(default_factory=lambda: np.zeros(N, np.int32))
    mixed: tuple[int, ...] = ()
    merges: tuple[LabelMerge, ...] = ()
    asked: list[np.ndarray] = field(default_factory=list)

    def outcome(self, patch: pytest.MonkeyPatch, **config: Any) -> Outcome:
        structure = Structure(self.group, np.isin(np.arange(LABELS), self.mixed), self.merges)

        def calibrate(embeddings: object, label_index: np.ndarray, **_: object) -> Calibration:
            self.asked.append(label_index)
            nothing, share = np.zeros(N), float(1 - self.p_clean.mean())
            return Calibration(self.p_clean, self.target, self.p_target, nothing, share, recognized=1.0, pictures=N)

        patch.setattr(calibrated, "calibrate", calibrate)
        patch.setattr(calibrated, "find_structure", lambda *_, **__: structure)
        found = judge(VECTORS, LABEL, classes=LABELS, config=AnalyzeConfig(**config), seed=0)
        assert found.recognized == 1
        assert found.noise_share == pytest.approx(1 - self.p_clean.mean())
        return found.outcome


def merge(label: int, into: int, p_same: float = 0.98) -> LabelMerge:
    return LabelMerge(label, into, 0.9, np.array([label * IMAGES, into * IMAGES]), p_same)


def of_label(outcome: Outcome, label: int) -> set[tuple[Any, ...]]:
    rows = label == LABEL
    columns = (outcome.decision, outcome.reason, outcome.new_label, outcome.p_clean.round(6), outcome.p_other.round(6))
    return set(zip(*(column[rows].tolist() for column in columns), strict=True))


def test_images_of_a_sure_merge_move_to_the_last_label_of_the_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = Measured(merges=(merge(2, 3), merge(3, 7), merge(4, 5, 0.9)))
    found = measured.outcome(monkeypatch)
    for label in (2, 3):
        assert of_label(found, label) == {
            ("relabel", "duplicate_of", 7, round(0.995 * 0.02, 6), round(0.995 * 0.98, 6))
        }
    for label in (0, 4, 5, 7):
        assert of_label(found, label) == {("keep", "near_dominant", -1, 0.995, 0.0)}
    assert len(measured.asked) == 2  # once more for the people, who compete no longer
    assert np.unique(measured.asked[1][(LABEL == 2) | (LABEL == 3)]).tolist() == [7]
    assert np.unique(measured.asked[1][(LABEL == 4) | (LABEL == 5)]).tolist() == [5]


@pytest.mark.parametrize(("p", "carried_out"), [(0.9901, True), (0.9899, False), (0.0099, True)])
def test_merges_are_carried_out_where_verdicts_are_sure(
    monkeypatch: pytest.MonkeyPatch, p: float, carried_out: bool
) -> None:
    """The expected share of wrong verdicts may be one in a hundred."""
    measured = Measured(merges=(merge(2, 3),))
    measured.p_clean[:] = p
    found = measured.outcome(monkeypatch)
    assert (found.p_clean[LABEL == 2] < p / 10).all() == carried_out
    assert len(measured.asked) == (2 if carried_out else 1)
    assert found.structure is not None
    assert len(found.structure.merges) == 1  # a proposal in any case


@pytest.mark.parametrize(("p", "decision"), [(0.5, "relabel"), (0.49, "drop")])
def test_wrong_images_of_a_merged_label_do_not_move(monkeypatch: pytest.MonkeyPatch, p: float, decision: str) -> None:
    measured = Measured(merges=(merge(2, 3),))
    measured.p_clean[24], measured.target[24], measured.p_target[24] = p, 8, 0.3
    found = measured.outcome(monkeypatch)
    assert found.p_clean[24] == pytest.approx(0.02 * p)
    assert found.other[24] == (3 if decision == "relabel" else 8)
    assert found.p_other[24] == pytest.approx(0.98 * p if decision == "relabel" else 0.3)


def test_of_two_people_under_a_label_the_smaller_group_is_left_to_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = Measured(mixed=(1,))
    measured.group[16:20], measured.group[20:24] = 1, 2
    measured.target[18:20], measured.p_target[18:20] = 6, [0.79, 0.8]
    measured.p_clean[18:20] = [0.2, 0.1]
    found = measured.outcome(monkeypatch)
    assert found.p_clean[12:16] == pytest.approx([0.995 * 0.65] * 4)  # images can't tell which group the label means
    assert found.p_clean[16:24] == pytest.approx([0.35, 0.35, 0.35, 0.1, 0.35, 0.35, 0.35, 0.35])
    assert found.decision[12:24].tolist() == [*["keep"] * 4, *["review"] * 3, "relabel", *["review"] * 4]
    assert set(found.reason[[16, 17, 18, 20]]) == {"second_identity"}
    assert found.new_label[19] == 6
    assert of_label(found, 0) == {("keep", "near_dominant", -1, 0.995, 0.0)}


def test_groups_of_labels_that_are_not_mixed_tell_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = Measured()
    measured.group[20:24] = -1
    assert of_label(measured.outcome(monkeypatch), 1) == {("keep", "near_dominant", -1, 0.995, 0.0)}


def context(recognized: float, patch: pytest.MonkeyPatch, *, learned: bool = False, **config: Any) -> RuleContext:
    """Of images that the rule would drop all, so sure of its likeness; at 90 degrees `official` drops one in three."""
    nobody = np.full(N, -1)
    outcome = Outcome(
        "calibrated/6",
        np.full(N, "drop", object),
        np.full(N, "open_set", object),
        nobody,
        nobody,
        np.linspace(0, 0.4, N),
        np.zeros(N),
        probabilities=True,
    )
    judged = Judged(outcome, recognized, noise_share=0.1, near_duplicate=0.98)
    patch.setattr(calibrated, "judge", lambda *_, **__: judged)
    patch.setattr(calibrated, "read_again", lambda *_, **__: outcome.p_clean)
    centers = unit(np.random.default_rng(1).normal(size=(LABELS, 1, 64)))
    names = [str(label) for label in range(LABELS)]
    given = RuleContext(
        [f"{k}" for k in range(N)],
        VECTORS,
        LABEL,
        names,
        AnalyzeConfig(**config),
        given_space=SubcenterSpace.of(VECTORS, centers),
    )
    if learned:
        vars(given)["learned"] = LearnedLabels(np.zeros(N), VECTORS)
    return given


@pytest.mark.parametrize(("learned", "least"), [(False, 0.75), (True, 0.5)])
def test_embeddings_that_recognize_too_few_give_way_to_the_angle(
    monkeypatch: pytest.MonkeyPatch, learned: bool, least: float
) -> None:
    taken = CALIBRATED.judge(context(least, monkeypatch, learned=learned))
    assert taken.rule == "calibrated/6"
    assert (taken.second_reading is not None) == learned
    given = CALIBRATED.judge(context(least - 0.01, monkeypatch, learned=learned, threshold=90))
    assert given.rule == "official/1"
    assert f"only {least - 0.01:.0%} are nearer to their own label" in given.why
    assert (given.decision == "drop").sum() == 12  # no more than the estimated share of wrong labels
    assert not given.probabilities


def test_a_wanted_precision_is_refused_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="hardly tell people apart"):
        CALIBRATED.judge(context(0.74, monkeypatch, precision=0.9))
    with pytest.raises(InputError, match="a network trained on 120 images alone"):
        CALIBRATED.judge(context(0.9, monkeypatch, learned=True, precision=0.9))
    assert CALIBRATED.judge(context(0.9, monkeypatch, precision=0.9)).rule == "calibrated/6"


def test_two_labels_are_kept_or_refused() -> None:
    names = ["a", "b"]
    given = RuleContext(["1", "2", "3", "4"], VECTORS[:4], np.array([0, 0, 1, 1]), names, AnalyzeConfig())
    assert CALIBRATED.judge(given).decision.tolist() == ["keep"] * 4
    with pytest.raises(InputError, match=r"can't support precision 0\.9"):
        CALIBRATED.judge(replace(given, config=AnalyzeConfig(precision=0.9)))
