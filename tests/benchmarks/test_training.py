from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.training import main

SMALL = ("--classes", "40", "--dim", "8", "--batch", "4", "--steps", "1")


@pytest.mark.slow
def test_heads_are_measured_each_in_its_own_process(tmp_path: Path) -> None:
    command = ["--part", "head", *SMALL, "--out", str(tmp_path)]
    answer = CliRunner().invoke(main, command, catch_exceptions=False)
    assert answer.exit_code == 0
    figures = json.loads((tmp_path / "training-head.json").read_text())
    assert {"dense", "sampled"} <= set(figures["heads"])
    for name, measures in figures["heads"].items():
        assert name in answer.output
        assert all(value > 0 for value in measures.values())
        assert measures["update_peak_bytes"] >= measures["gradient_peak_bytes"]
    heads, ratios = figures["heads"], figures["ratios"]["dense_to_sampled"]
    assert ratios["gradient_seconds"] == heads["dense"]["gradient_seconds"] / heads["sampled"]["gradient_seconds"]
