from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.scale import growth, plan
from benchmarks.scale_sets import DrawnSet

REPOSITORY = Path(__file__).resolve().parents[2]


def test_a_drawn_set_has_its_shares_of_wrong_labels_and_the_same_bytes_each_time() -> None:
    drawn = DrawnSet(labels=60, images=30, dim=8, id_length=40)
    given, true = drawn.truth()
    assert np.mean(true == -1) == pytest.approx(0.1, abs=0.02)
    assert np.mean((true != given) & (true >= 0)) == pytest.approx(0.2, abs=0.03)
    assert {len(sample_id) for sample_id in drawn.ids(range(0, 1800, 97))} == {40}
    first, again = (np.concatenate([block for _, block in drawn.blocks()]) for _ in range(2))
    assert first.dtype == np.float16
    np.testing.assert_array_equal(first, again)


def test_growth_is_the_exponent_and_plans_follow_from_it() -> None:
    cases = [{"rows": rows, "cpu": 3 * rows**1.1, "peak": 5.0 * rows} for rows in (1e4, 1e5, 1e6)]
    exponents = {name: growth(cases, name) for name in ("cpu", "peak")}
    assert exponents == {"cpu": pytest.approx(1.1), "peak": pytest.approx(1.0)}
    assert growth(cases[:1], "cpu") is None
    plans = plan(cases[-1], exponents)
    assert plans["MS1MV0"]["cpu_hours"] == pytest.approx(3 * 1e7**1.1 / 3600)
    assert plans["WebFace260M"]["gib"] == pytest.approx(5 * 260e6 / 2**30)


@pytest.mark.slow
def test_the_command_measures_ours_and_a_rival(tmp_path: Path) -> None:
    out = tmp_path / "scale.json"
    command = [sys.executable, "-m", "benchmarks.scale", "--labels", "30", "--labels", "60", "--images", "10"]
    command += ["--dim", "32", "--rival", "knn", "--rival", "official", "--out", str(out)]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=os.environ | {"COLUMNS": "120"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(out.read_text(encoding="utf-8"))
    assert [case["rows"] for case in answer["cases"]] == [300, 600]
    assert min(case["f1"] for case in answer["cases"]) > 0.9
    assert {case["method"]: case["f1"] > 0.5 for case in answer["rivals"]} == {"knn": True, "official": True}
    assert all(case["peak"] > 1e7 and case["cpu"] > 0.1 for case in answer["cases"])
    assert "MS1MV0" in done.stdout
