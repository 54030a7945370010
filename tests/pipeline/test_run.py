"""The whole job by one call, without Prefect."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from purify.config import PurifyConfig
from purify.errors import InputError
from purify.pipeline import stages
from purify.pipeline.run import run as purify_run
from purify.storage.files import read_json, write_json
from purify.storage.integrity import LEDGER
from purify.storage.run_folder import LOCK, RunFolder
from tests.noisy_set import NoisySet, result_bytes

pytestmark = pytest.mark.slow

_RUN = """
import json, sys
from purify.config import PurifyConfig
from purify.pipeline.run import run
source, out, config = json.loads(sys.argv[1])
if __name__ == "__main__":
    run(source, out, PurifyConfig.model_validate(config), progress=False)
    print(*(module for module in ("prefect", "click", "fastapi") if module in sys.modules))
"""


def _arguments(noisy_set: NoisySet, out: Path, config: PurifyConfig) -> list[str]:
    values = [str(noisy_set.table), str(out), config.model_dump(mode="json")]
    return [sys.executable, "-c", _RUN, json.dumps(values)]


def _copy(run: RunFolder, to: Path) -> RunFolder:
    shutil.copytree(run.root, to)
    return RunFolder(to)


def _files(run: RunFolder) -> dict[str, tuple[int, bytes]]:
    return {
        path.relative_to(run.root).as_posix(): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(run.root.rglob("*"))
        if path.is_file() and path != run.info and path.name != LOCK and LEDGER not in path.parts
    }


def test_the_run_says_what_a_flow_run_does(plain_run: RunFolder) -> None:
    info = read_json(plain_run.info)
    assert info["counts"]["rows"] == 109
    assert info["truth"]["average_precision"] > 0.8
    assert set(read_json(plain_run.evaluation)["models"]) == {"raw", "purified", "random", "oracle"}
    assert plain_run.report.exists()
    assert not list(plain_run.root.rglob("*.shards*"))
    assert not list(plain_run.root.rglob("resume.safetensors"))


def test_killed_in_training_and_called_again_gives_the_same_bytes(
    plain_run: RunFolder, noisy_set: NoisySet, tmp_path: Path
) -> None:
    """By a process that imports no Prefect."""
    run = RunFolder(tmp_path / "killed")
    command = _arguments(noisy_set, run.root, noisy_set.config())
    with subprocess.Popen(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": _checkout()}) as child:
        while not (run.round(1).root / "resume.safetensors").exists():
            assert child.poll() is None
            time.sleep(0.005)
        child.send_signal(signal.SIGKILL)
    assert not run.verdicts.exists()
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": _checkout()},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout.split(), done.stderr) == ([], "")
    assert result_bytes(run) == result_bytes(plain_run)
    assert not list(run.root.rglob(".partial-*"))


def _checkout() -> str:
    return str(Path(stages.__file__).parents[2])


def test_a_second_call_does_nothing_and_says_nothing_new(
    plain_run: RunFolder, noisy_set: NoisySet, tmp_path: Path
) -> None:
    run = _copy(plain_run, tmp_path / "again")
    before = _files(run)
    result = purify_run(noisy_set.table, run.root, noisy_set.config(), progress=False)
    assert result.summary()["nothing_new"] is True
    assert _files(run) == before


def test_records_of_the_release_before_train_nothing_again(
    plain_run: RunFolder, noisy_set: NoisySet, tmp_path: Path
) -> None:
    """The upgrade of a finished run."""
    run = _copy(plain_run, tmp_path / "upgraded")
    for path in (run.root / "stages").glob("*.json"):
        record = read_json(path)
        del record["version"]
        write_json(path, {**record, "code": "0" * 64})
    before = _files(run)
    purify_run(noisy_set.table, run.root, noisy_set.config(), progress=False)
    after = _files(run)
    changed = {name for name in before if after[name][0] != before[name][0]}
    rewritten = {f"baselines/{name}/train.parquet" for name in ("oracle", "random")}
    # By other versions of these stages.
    judged = {"round-1/verdicts.parquet", "round-1/class_report.parquet", "stages/analyze.json"}
    again = {"manifest.parquet", "stages/ingest.json", "evaluation.json", "stages/evaluate.json", *judged}
    assert changed == {"report.html", "stages/update.json", *rewritten, *again}
    assert result_bytes(run) == result_bytes(plain_run)


class _Recorder:
    """A `submit` that does the work at once, and remembers what it was."""

    def __init__(self) -> None:
        self.started: list[tuple[str, object]] = []

    def __call__(self, step: Any, *arguments: Any) -> Future[Any]:
        self.started.append((step.__name__, arguments[1]))
        future: Future[Any] = Future()
        future.set_result(step(*arguments))
        return future


def test_trainings_go_through_submit_in_order(plain_run: RunFolder, noisy_set: NoisySet, tmp_path: Path) -> None:
    """On a copy whose models are there: only the order counts here."""
    run, submit = _copy(plain_run, tmp_path / "submitted"), _Recorder()
    (run.root / "stages" / "update.json").unlink()
    purify_run(noisy_set.table, run.root, noisy_set.config(), submit=submit, progress=False)
    assert submit.started == [
        ("train_round", 1),
        ("train_model", "raw"),
        ("train_model", "oracle"),
        ("train_model", "purified"),
        ("train_model", "random"),
    ]
    assert result_bytes(run) == result_bytes(plain_run)


@pytest.mark.parametrize("runner", ["processes", "dask", "ray"])
def test_a_runner_of_the_flow_is_refused_before_anything_is_made(
    runner: str, noisy_set: NoisySet, tmp_path: Path
) -> None:
    config = noisy_set.config().model_copy(
        update={"scale": PurifyConfig.model_validate({"scale": {"runner": runner, "workers": 2}}).scale}
    )
    with pytest.raises(InputError, match=rf"scale\.runner = {runner}: .*purify run-flow"):
        purify_run(noisy_set.table, tmp_path / "run", config, progress=False)
    assert not (tmp_path / "run").exists()


def test_a_run_in_use_is_refused(plain_run: RunFolder, noisy_set: NoisySet) -> None:
    with plain_run.lock(), pytest.raises(InputError, match="another purify process"):
        purify_run(noisy_set.table, plain_run.root, noisy_set.config(), progress=False)
