from __future__ import annotations

from pathlib import Path

import pytest

from purify.manifest.io import write_json
from purify.run_folder import RunFolder
from tests.report.sample_run import HOSTILE, build_run, evaluation


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    run = build_run(tmp_path)
    run.update_info(
        source=f"set {HOSTILE}",
        seed=5,
        config={"analyze": {"rule": "official", "threshold": 75.0}, "note": HOSTILE},
        versions={"purify": "9.9.9"},
        stages={"ingest": 2.25, "train-round-1": 754.0},
    )
    write_json(run.evaluation, evaluation("raw", "random", "purified", "oracle"))
    return run
