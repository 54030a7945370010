"""The own-class evidence that is timed is the evidence."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.own_class import evidence, run, write_parquet
from benchmarks.scale_sets import DrawnSet

DRAWN = DrawnSet(labels=5, images=7, dim=16)


def test_evidence_is_the_cosine_to_the_mean_of_the_others(tmp_path: Path) -> None:
    write_parquet(DRAWN, tmp_path / "set.parquet")
    labels = DRAWN.truth()[0]
    rows = np.concatenate([block for _, block in DRAWN.blocks()]).astype(np.float64)
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    expected = []
    for row, label in enumerate(labels):
        others = units[(labels == label) & (np.arange(len(labels)) != row)].mean(axis=0)
        expected.append(units[row] @ others / np.linalg.norm(others))
    assert np.allclose(evidence(tmp_path / "set.parquet", labels, DRAWN.dim), expected, atol=1e-5)


def test_a_run_times_all_ways() -> None:
    answer = run(DRAWN, DRAWN, rounds=1)
    assert list(answer["ways"]) == ["read as float16", "read as float32", "own-class evidence"]
    assert all(figures["cpu"] >= 0 for figures in answer["ways"].values())
    assert answer["get_outliers"]["rows"] == DRAWN.rows
