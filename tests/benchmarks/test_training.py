from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
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


@pytest.mark.slow
def test_input_is_measured_by_turns(tmp_path: Path, draw_stripes: Callable[..., None]) -> None:
    faces, rng = tmp_path / "faces", np.random.default_rng(0)
    for k in range(5 * 64):
        draw_stripes(faces / f"label {k % 2}" / f"{k}.png", k % 2, rng)
    command = ["--part", "input", "--source", str(faces), "--steps", "1", "--rounds", "2", "--out", str(tmp_path)]
    answer = CliRunner().invoke(main, command, catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    figures = json.loads((tmp_path / "training-input.json").read_text())
    assert figures["source"] == "faces"
    assert len(figures["ratios"]) == 2
    assert figures["ratio"] == sum(figures["ratios"]) / 2
    assert figures["loop_ratio"] == sum(figures["loop_ratios"]) / 2
    for measure in ("images_per_second", "cpu_seconds_per_step"):
        assert set(figures[measure]) == {"decoded", "in_memory", "bare_step"}
        assert all(value > 0 for value in figures[measure].values())


def test_too_few_images_are_refused(tmp_path: Path, draw_stripes: Callable[..., None]) -> None:
    for k in range(2):
        draw_stripes(tmp_path / f"label {k}" / "0.png", k, np.random.default_rng(k))
    answer = CliRunner().invoke(main, ["--part", "input", "--source", str(tmp_path)])
    assert answer.exit_code == 2
    assert "2 images, fewer than" in answer.output
