from __future__ import annotations

from pathlib import Path

import pytest

from purify.report.html import write_report
from purify.storage.files import write_json
from purify.storage.run_folder import RunFolder
from tests.report.sample_run import HOSTILE, Page, build_run, evaluation, parse, structured_run


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run of its own, for a test that changes it."""
    return _standard_run(tmp_path)


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The same run with its report, for tests that only look."""
    run = _standard_run(tmp_path_factory.mktemp("shown"))
    write_report(run.root)
    return run


@pytest.fixture(scope="session")
def page(shown: RunFolder) -> Page:
    return parse(shown.report)


@pytest.fixture(scope="session")
def structured(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A calibrated run with mixed and doubled labels, with its report, for tests that only look."""
    run = structured_run(tmp_path_factory.mktemp("structured"))
    write_report(run.root)
    return run


def _standard_run(folder: Path) -> RunFolder:
    run = build_run(folder)
    run.update_info(
        source=f"set {HOSTILE}",
        seed=5,
        config={"analyze": {"rule": "official", "threshold": 75.0}, "note": HOSTILE},
        versions={"purify": "9.9.9"},
        stages={"ingest": 2.25, "train-round-1": 754.0},
    )
    write_json(run.evaluation, evaluation("raw", "random", "purified", "oracle"))
    return run
