from __future__ import annotations

import json
import os
from pathlib import Path

from click.testing import CliRunner

from benchmarks.gpu import PUBLISHED, main
from purify.models.precision import DEVICE_SWITCH


def test_the_whole_command_runs_in_a_tiny_form_on_a_cpu(tmp_path: Path) -> None:
    before = os.environ.get(DEVICE_SWITCH)
    command = ["--device", "cpu", "--tiny", "--out", str(tmp_path / "gpu.json")]
    answer = CliRunner().invoke(main, command, catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    figures = json.loads((tmp_path / "gpu.json").read_text())
    assert figures["device"] == "cpu"
    assert set(figures["agreement"].values()) == {0.0}
    assert len(figures["training"]) == 4
    for found in figures["training"].values():
        assert found["ratio"] == found["images_per_second"]["loop"] / found["images_per_second"]["bare_step"]
    assert [found["images_per_second"].keys() for found in figures["embedding"].values()] == [
        {"encoded_images", "pixels_in_memory", "bare_forward"}
    ]
    assert {found["rows"] for found in figures["neighbors"].values()} == {500, 2000}
    assert all(found["queries_per_second"] > 0 for found in figures["neighbors"].values())
    assert figures["published"][0]["images_per_second_of_a_card"] == PUBLISHED[0][4] / 8
    assert "published by arcface_torch" in answer.output
    assert os.environ.get(DEVICE_SWITCH) == before


def test_what_the_time_does_not_allow_is_said(tmp_path: Path) -> None:
    command = ["--device", "cpu", "--tiny", "--minutes", "0", "--out", str(tmp_path / "gpu.json")]
    answer = CliRunner().invoke(main, command, catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    figures = json.loads((tmp_path / "gpu.json").read_text())
    for part in ("training", "embedding", "neighbors"):
        assert [list(found) for found in figures[part].values()] == [["skipped"]] * len(figures[part])


def test_a_device_that_is_not_there_is_refused() -> None:
    answer = CliRunner().invoke(main, ["--device", "mps", "--tiny"])
    assert answer.exit_code == 2
    assert "PUBLISHED" not in answer.output
    assert f"{DEVICE_SWITCH}=mps" in answer.output
