from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.report import main


@pytest.mark.slow
def test_the_report_of_a_synthetic_run_is_measured(tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    answer = CliRunner().invoke(main, ["--verdicts", "2000", "--out", str(out)], catch_exceptions=False)
    assert answer.exit_code == 0
    figures = json.loads(out.read_text())
    assert json.loads(answer.stdout) == figures
    assert figures["verdicts"] == 2000
    assert 0 < figures["megabytes"] < 15
    assert figures["seconds"] > 0
