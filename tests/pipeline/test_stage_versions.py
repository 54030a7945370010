"""The versions of the stages: results that change need a raised number, or finished stages would keep the old ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from purify.pipeline.fingerprint import STAGE_VERSIONS
from purify.storage.files import read_json
from tests.pipeline.stage_results import COMMAND, GOLDEN, STAGES, differences, results_of


def test_every_stage_has_a_version_and_golden_results() -> None:
    assert set(STAGES) == set(STAGE_VERSIONS) == set(read_json(GOLDEN))


@pytest.mark.parametrize("stage", STAGES)
def test_results_change_with_the_version_alone(stage: str, tmp_path: Path) -> None:
    golden = read_json(GOLDEN)[stage]
    changed = differences(golden["results"], results_of(stage, tmp_path / stage))
    shown = "\n".join(changed[:10])
    if golden["version"] != STAGE_VERSIONS[stage]:
        pytest.fail(f'STAGE_VERSIONS["{stage}"] was changed: renew golden.json with {COMMAND}\n{shown}')
    if changed:
        pytest.fail(
            f'results of stage {stage} changed: raise STAGE_VERSIONS["{stage}"] in purify/pipeline/fingerprint.py and '
            f"renew golden.json with {COMMAND}\n{shown}"
        )


@pytest.mark.parametrize(
    ("golden", "now", "count"),
    [
        ({"p": [0.5, 1]}, {"p": [0.501, 1]}, 0),
        ({"p": [0.5, 1]}, {"p": [0.503, 2]}, 2),
        ({"angle": 80.0}, {"angle": 80.01}, 0),
        ({"d": "keep"}, {"d": "drop"}, 1),
        ({"p": 0.0}, {"p": None}, 1),
        ([1, 2], [1], 1),
        ({"a": 1}, {"b": 1}, 1),
        (True, 1, 1),
    ],
)
def test_what_counts_as_a_difference(golden: object, now: object, count: int) -> None:
    assert len(differences(golden, now)) == count
