"""The benchmark of whole runs from pixels: its drawn scenario, and its figures over seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.pixels import draw_flips, figures_of, markdown, summarize
from purify.storage.files import write_json, write_table
from purify.storage.run_folder import RunFolder


def _clean() -> pa.Table:
    labels = [f"person {k % 20}" for k in range(2000)]
    return pa.table({"path": [f"{k:04d}.jpg" for k in range(2000)], "label": labels, "true_label": labels})


def test_flips_are_as_many_as_asked_and_evenly_spread() -> None:
    drawn = draw_flips(_clean(), 0.45, seed=1)
    given, true = (np.array(drawn[name].to_pylist()) for name in ("label", "true_label"))
    assert true.tolist() == _clean()["label"].to_pylist()
    assert (given != true).sum() == 900
    assert set(np.unique(given)) == set(np.unique(true))
    _, counts = np.unique(given[given != true], return_counts=True)
    assert counts.min() > 20
    assert drawn.equals(draw_flips(_clean(), 0.45, seed=1))
    assert not drawn.equals(draw_flips(_clean(), 0.45, seed=2))


def _run(folder: Path, rounds: list[int], gap: float | None) -> RunFolder:
    run = RunFolder(folder)
    truth = {"average_precision": 0.9, "f1": 0.8, "clean_kept": 0.95, "recall": 0.7}
    write_json(run.info, {"truth": truth, "rounds": [{"round": n} for n in range(1, len(rounds) + 1)]})
    for number, rows in enumerate(rounds, start=1):
        write_table(pa.table({"sample_id": [str(k) for k in range(rows)]}), run.round(number).training_table)
    closed: dict[str, Any] | None = None if gap is None else {"auc": {"value": gap, "interval": [0.5, 1.1]}}
    write_json(run.evaluation, {"gap_closed": closed})
    return run


def test_a_runs_figures_and_what_its_rounds_trained_on(tmp_path: Path) -> None:
    found = figures_of(_run(tmp_path / "a", [100, 60], 0.9))
    assert found == {
        "average_precision": 0.9,
        "f1": 0.8,
        "clean_kept": 0.95,
        "gap_closed": 0.9,
        "trained_on": pytest.approx(1.6),
    }
    assert figures_of(_run(tmp_path / "b", [100], None))["gap_closed"] is None


def test_the_spread_over_the_seeds_is_told(tmp_path: Path) -> None:
    cells = [
        {"seed": seed, **figures_of(_run(tmp_path / str(seed), [100, 50], gap))}
        for seed, gap in enumerate((0.9, 1.0, None))
    ]
    summary = summarize(cells)
    assert summary["gap_closed"]["mean"] == pytest.approx(0.95)
    assert summary["gap_closed"]["std"] == pytest.approx(0.0707, abs=1e-4)
    assert summary["gap_closed"]["range"] == [0.9, 1.0]
    lines = markdown({"scenarios": {"mixed35": {"runs": cells, "summary": summary}}}).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert lines[-1].startswith("| mixed35 | mean ± std | 0.900 ± 0.000")
    assert "| 0.950 ± 0.071 |" in lines[-1]
    assert "| - |" in lines[-2]
    assert summarize(cells[:1])["f1"]["std"] is None
