"""Looks of labels are found, judged one by one, suspected from verdicts, and their images of other looks kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from purify.analysis.identities.looks import find_looks, of_labels
from purify.analysis.label_noise.calibration import Calibration
from purify.analysis.rules.calibrated import judge
from purify.analysis.rules.rule import Outcome
from purify.analysis.search import unit
from purify.analysis.suspected_looks import suspected_looks
from purify.analysis.verdicts import Analysis, analyze
from purify.config import AnalyzeConfig

DIM = 96


@dataclass(frozen=True)
class Things:
    """Images of things with looks that have nothing in common: ``vectors[N, D]``, given labels, and the truth."""

    vectors: np.ndarray
    label: np.ndarray
    thing: np.ndarray
    look: np.ndarray

    @property
    def wrong(self) -> np.ndarray:
        return self.label != self.thing

    def judged(self, *, several_looks: bool) -> Analysis:
        names = [f"t{label:03d}" for label in range(int(self.label.max()) + 1)]
        ids = [f"{row:05d}" for row in range(len(self.label))]
        config = AnalyzeConfig(several_looks=several_looks)
        return analyze(ids, [names[label] for label in self.label], self.vectors, names, config, space=None)


def draw(things: int = 60, looks: int = 3, images: int = 8, flips: float = 0.15) -> Things:
    rng = np.random.default_rng(5)
    centers = unit(rng.normal(size=(things, looks, 1, DIM)))
    rows = np.sqrt(0.7) * centers + np.sqrt(0.3) * unit(rng.normal(size=(things, looks, images, DIM)))
    thing = np.repeat(np.arange(things), looks * images)
    look = np.tile(np.repeat(np.arange(looks), images), things)
    flipped = rng.random(len(thing)) < flips
    label = np.where(flipped, (thing + rng.integers(1, things, len(thing))) % things, thing)
    return Things(unit(rows.reshape(-1, DIM).astype(np.float32)), label, thing, look)


def removed(found: Analysis) -> np.ndarray:
    return np.array(found.verdicts["decision"].to_pylist()) != "keep"


def test_the_images_of_a_look_are_found_together() -> None:
    drawn = draw(flips=0)
    look, label_of = find_looks(drawn.vectors, drawn.label, 60, 0.98)
    assert (label_of[look] == drawn.label).all()
    assert 150 < len(label_of) <= 180  # some happen to be near each other
    assert len(np.unique(np.stack([drawn.label * 3 + drawn.look, look]), axis=1).T) <= 185  # hardly any is torn apart


def test_few_images_alike_are_no_look() -> None:
    """Two wrong images of one thing, or a twentieth of a label, are none."""
    drawn = draw(things=40, looks=1, images=40, flips=0)
    other = unit(np.random.default_rng(0).normal(size=(1, DIM)))
    rows = drawn.vectors.copy()
    rows[:3] = unit(np.sqrt(0.7) * other + np.sqrt(0.3) * unit(np.random.default_rng(1).normal(size=(3, DIM))))
    look, label_of = find_looks(rows.astype(np.float32), drawn.label, 40, 0.98)
    assert len(label_of) == 40
    assert (look == drawn.label).all()


def test_looks_of_the_own_label_are_no_other_label() -> None:
    found = Calibration(
        p_clean=np.array([0.2, 0.1, 0.3]),
        target=np.array([1, 2, -1]),
        p_target=np.array([0.7, 0.8, 0.0]),
        hard=np.zeros(3),
        noise_share=0.8,
        recognized=1.0,
    )
    labels = of_labels(found, np.array([0, 0, 2]), np.array([5, 5, 6]))
    np.testing.assert_allclose(labels.p_clean, [0.9, 0.1, 0.3])
    assert labels.target.tolist() == [-1, 6, -1]
    assert labels.p_target.tolist() == [0.0, 0.8, 0.0]
    assert labels.noise_share == pytest.approx(1 - 1.3 / 3)


def test_told_of_looks_the_rule_keeps_them_all() -> None:
    drawn = draw()
    plain, told = removed(drawn.judged(several_looks=False)), drawn.judged(several_looks=True)
    assert plain[~drawn.wrong].mean() > 0.3  # the failure that the setting is for
    assert removed(told)[~drawn.wrong].mean() < 0.01
    assert removed(told)[drawn.wrong].mean() > 0.95
    p_clean = np.array(told.verdicts["p_clean"].to_pylist())
    assert 1 - p_clean.mean() == pytest.approx(drawn.wrong.mean(), abs=0.02)
    new = np.array(told.verdicts["new_label"].to_pylist(), dtype=object)
    sent = new != None  # noqa: E711
    assert sent[drawn.wrong].mean() > 0.8
    assert (new[sent] == [f"t{thing:03d}" for thing in drawn.thing[sent]]).mean() > 0.98
    assert set(told.class_report["flag"].to_pylist()) == {"ok"}


def test_looks_are_suspected_only_where_there_are_some() -> None:
    several, one = draw(), draw(looks=1, images=24)
    assert (several.judged(several_looks=False).suspected_looks or 0) > 100
    assert several.judged(several_looks=True).suspected_looks is None
    assert one.judged(several_looks=False).suspected_looks is None


@pytest.mark.parametrize(
    ("agreeing", "dropped", "told"),
    [(2, 100, None), (6, 100, 6), (5, 100, None), (1, 3, None), (2, 3, 2), (0, 0, None)],
)
def test_the_suspicion_needs_a_share_of_the_dropped_images(agreeing: int, dropped: int, told: int | None) -> None:
    n = 200
    decision, reason = np.full(n, "keep", object), np.full(n, "near_dominant", object)
    decision[:dropped], reason[:dropped] = "drop", "open_set"
    agreement = np.where(np.arange(n) < agreeing, 0.25, 0.15)
    assert suspected_looks(_outcome(decision, reason), np.arange(n) % 20, agreement) == told


@pytest.mark.parametrize(("labels", "told"), [(3, None), (4, 16)])
def test_a_second_person_under_a_fifth_of_the_labels_is_suspicious(labels: int, told: int | None) -> None:
    label = np.arange(200) % 20
    second = (label < labels) & (np.arange(200) >= 120)
    decision = np.where(second, "review", "keep").astype(object)
    reason = np.where(second, "second_identity", "near_dominant").astype(object)
    assert suspected_looks(_outcome(decision, reason), label, np.full(200, np.nan)) == told


def test_one_label_of_several_looks_is_not_judged() -> None:
    """Looks are no labels to compare with."""
    drawn = draw(things=2)
    with pytest.raises(ValueError, match="2 labels have two different pictures or more"):
        judge(drawn.vectors, drawn.label, classes=2, config=AnalyzeConfig(several_looks=True), seed=0)


def _outcome(decision: np.ndarray, reason: np.ndarray) -> Outcome:
    nothing, nobody = np.zeros(len(decision)), np.full(len(decision), -1)
    return Outcome("calibrated/7", decision, reason, nobody, nobody, nothing, nothing)
