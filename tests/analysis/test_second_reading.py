"""A network that has learned wrong labels by heart is told from one that has not, as far as that can be told."""

from __future__ import annotations

import numpy as np
import pytest

from purify.analysis.rules.calibrated import CALIBRATED
from purify.analysis.rules.rule import RuleContext
from purify.analysis.second_reading import FEWEST_IMAGES, disagreement, doubt
from purify.analysis.subcenters import SubcenterSpace
from purify.config import AnalyzeConfig
from purify.errors import InputError

PEOPLE, EACH, DIM = 12, 40, 48


def _context(pull: float, config: AnalyzeConfig) -> RuleContext:
    """30 % strangers, drawn to the center of the label that they were learned under by `pull`."""
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(PEOPLE, DIM))
    label = np.repeat(np.arange(PEOPLE), EACH)
    wrong = np.arange(len(label)) % 10 < 3
    shown = np.where(wrong[:, None], rng.normal(size=(len(label), DIM)) + pull * centers[label], centers[label])
    vectors = (shown + 0.5 * rng.normal(size=shown.shape)).astype(np.float32)
    space = SubcenterSpace.of(vectors, centers[:, None].repeat(3, axis=1).astype(np.float32))
    learned = SubcenterSpace(space.embeddings, space.subcenters, np.ones(PEOPLE, bool))
    ids = [f"{row:04d}" for row in range(len(label))]
    return RuleContext(ids, vectors, label, [f"p{i}" for i in range(PEOPLE)], config, 0, learned)


@pytest.mark.parametrize("precision", [None, 0.9])
def test_a_small_set_is_doubted_whatever_the_readings_say(precision: float | None) -> None:
    context = _context(0.0, AnalyzeConfig(precision=precision))
    if precision is not None:
        with pytest.raises(InputError, match=r"480 images alone learns .* by heart .*pip install 'purify\[faces\]'"):
            CALIBRATED.judge(context)
        return
    outcome = CALIBRATED.judge(context)
    assert outcome.second_reading is not None
    assert disagreement(outcome.p_clean, outcome.second_reading) <= 0.05
    assert "480 images alone" in doubt(outcome.p_clean, outcome.second_reading)


def test_in_a_large_set_the_readings_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("purify.analysis.second_reading.FEWEST_IMAGES", PEOPLE * EACH)
    honest = CALIBRATED.judge(_context(0.0, AnalyzeConfig(precision=0.9)))
    assert honest.second_reading is not None
    assert doubt(honest.p_clean, honest.second_reading) == ""
    monkeypatch.setattr("purify.analysis.rules.calibrated.read_again", lambda *_, **__: np.zeros(PEOPLE * EACH))
    with pytest.raises(InputError, match=r"can't support precision 0\.9: .*two readings .* differ on 7\d%"):
        CALIBRATED.judge(_context(0.0, AnalyzeConfig(precision=0.9)))


def test_the_limit_of_the_disagreement() -> None:
    p_clean, again = np.ones(FEWEST_IMAGES), np.ones(FEWEST_IMAGES)
    again[: int(0.15 * FEWEST_IMAGES)] = 0
    assert doubt(p_clean, again) == ""
    again[: int(0.15 * FEWEST_IMAGES) + 1] = 0
    assert "differ on 15%" in doubt(p_clean, again)
