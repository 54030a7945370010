"""A network that has learned wrong labels by heart is told from one that has not."""

from __future__ import annotations

import numpy as np
import pytest

from purify.analysis.rules.calibrated import CALIBRATED
from purify.analysis.rules.rule import RuleContext
from purify.analysis.second_reading import MOST_DISAGREEMENT, disagreement
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


def test_readings_of_an_honest_network_agree() -> None:
    outcome = CALIBRATED.judge(_context(0.0, AnalyzeConfig(precision=0.9)))
    assert outcome.second_reading is not None
    assert disagreement(outcome.p_clean, outcome.second_reading) <= 0.05


def test_a_precision_is_refused_where_the_readings_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("purify.analysis.rules.calibrated.read_again", lambda *_, **__: np.zeros(PEOPLE * EACH))
    outcome = CALIBRATED.judge(_context(0.0, AnalyzeConfig()))
    assert outcome.second_reading is not None
    assert disagreement(outcome.p_clean, outcome.second_reading) > MOST_DISAGREEMENT
    with pytest.raises(InputError, match=r"can't support precision 0\.9: .* by heart .*pip install 'purify\[faces\]'"):
        CALIBRATED.judge(_context(0.0, AnalyzeConfig(precision=0.9)))
