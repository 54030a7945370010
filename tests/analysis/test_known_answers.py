from __future__ import annotations

import json
import math
from typing import Any

import pytest

from tests.analysis.drawn_scenarios import ANSWERS, SCENARIOS, answers

#: Relative tolerance of probabilities, or of what they lack to 1, and the digits of those near 1.
_TOLERANCE, _DIGITS = 0.01, 2e-5


def _differs(known: Any, found: Any) -> bool:
    """Whether two values differ by more than what sums in another order make of small and large probabilities."""
    if isinstance(known, list) and isinstance(found, list):
        return len(known) != len(found) or any(map(_differs, known, found))
    if isinstance(known, float) and isinstance(found, float):
        if known < 0.5:
            return not math.isclose(known, found, rel_tol=_TOLERANCE, abs_tol=1e-9)
        if known <= 1:
            return not math.isclose(1 - known, 1 - found, rel_tol=_TOLERANCE, abs_tol=_DIGITS)
        return not math.isclose(known, found, rel_tol=1e-4)
    return known != found


@pytest.mark.parametrize("name", SCENARIOS)
def test_verdicts_and_reports_are_the_known_ones(name: str) -> None:
    """A rule that judges differently gets a new version, and new answers (`tests.analysis.drawn_scenarios`)."""
    known = [json.loads(line) for line in (ANSWERS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
    found = [json.loads(line) for line in answers(SCENARIOS[name]()).splitlines()]
    assert found[0] == known[0]
    assert len(found) == len(known)
    assert [pair for pair in zip(known, found, strict=True) if _differs(*pair)] == []
