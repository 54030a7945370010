"""``purify train``: the same command continues where it was interrupted, another one does not."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from purify.cli import main
from purify.training import launcher
from purify.training.job import TrainJob


def test_all_that_decides_the_weights_is_in_the_fingerprint(
    pattern_table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[TrainJob] = []
    monkeypatch.setattr(launcher, "run_job", lambda job, progress: jobs.append(job))

    def fingerprint(*arguments: str, table: Path = pattern_table) -> str | None:
        result = CliRunner().invoke(main, ["train", str(table), "--out", str(tmp_path / "out"), *arguments])
        assert result.exit_code == 0, result.output
        return jobs[-1].fingerprint

    fewer = tmp_path / "fewer.parquet"
    pq.write_table(pq.read_table(pattern_table).slice(1), fewer)
    first = fingerprint()
    assert first
    others = {
        fingerprint("--set", "seed=1"),
        fingerprint("-k", "1"),
        fingerprint("--set", "train.epochs=3"),
        fingerprint("--set", "model.embedding_dim=64"),
        fingerprint(table=fewer),
    }
    assert len(others) == 5
    assert first not in others
    assert fingerprint("-k", "3", "--set", "train.workers=2", "--set", "train.processes=2") == first
