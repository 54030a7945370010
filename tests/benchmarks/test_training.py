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


@pytest.mark.slow
def test_the_head_of_a_rank_is_its_share_of_the_whole(tmp_path: Path) -> None:
    answer = CliRunner().invoke(main, ["--part", "ranks", *SMALL, "--out", str(tmp_path)], catch_exceptions=False)
    assert answer.exit_code == 0
    ratios = json.loads((tmp_path / "training-ranks.json").read_text())["ratios"]
    assert ratios["2"]["head_bytes"] == 0.5
    assert ratios["3"]["head_bytes"] == 14 / 40  # the largest of three parts
    assert all(ratios[size]["loss"] < 1e-3 for size in "123")
