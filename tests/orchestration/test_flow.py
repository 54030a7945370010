"""The whole flow on a small set, against a real Prefect server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.compute as pc
import pytest

from purify.errors import InputError, TrainingCollapsedError
from purify.orchestration.launch import run_request
from purify.pipeline.request import RunRequest, resumed_request
from purify.pipeline.summary import run_summary
from purify.storage.files import read_json, read_table
from purify.storage.run_folder import RunFolder
from purify.tables.schema import CLEANED, LABELS, MANIFEST, REMOVED, VERDICTS
from tests.noisy_set import NoisySet, result_bytes

pytestmark = [pytest.mark.usefixtures("prefect_server"), pytest.mark.slow]


def _request(noisy_set: NoisySet, folder: Path, **train: object) -> RunRequest:
    return RunRequest(source=str(noisy_set.table), run_folder=str(folder), config=noisy_set.config(**train))


@pytest.fixture(scope="module")
def undisturbed(noisy_set: NoisySet, tmp_path_factory: pytest.TempPathFactory, prefect_server: str) -> RunFolder:
    folder = tmp_path_factory.mktemp("runs") / "undisturbed"
    run_request(_request(noisy_set, folder), quiet=True)
    return RunFolder(folder)


def test_the_flow_gives_the_bytes_of_the_plain_call(undisturbed: RunFolder, plain_run: RunFolder) -> None:
    results = result_bytes(undisturbed)
    assert len([name for name in results if name.endswith("model.safetensors")]) == 5
    assert results == result_bytes(plain_run)


def test_rows_add_up_and_nothing_disappears(undisturbed: RunFolder) -> None:
    manifest, verdicts = read_table(undisturbed.manifest, MANIFEST), read_table(undisturbed.verdicts, VERDICTS)
    cleaned, removed = read_table(undisturbed.cleaned, CLEANED), read_table(undisturbed.removed, REMOVED)
    ok = manifest.filter(pc.equal(manifest["status"], "ok"))
    assert len(manifest) == 109
    assert len(ok) == 108
    assert verdicts["sample_id"].to_pylist() == ok["sample_id"].to_pylist()
    assert {*cleaned["sample_id"].to_pylist()} | {*removed["sample_id"].to_pylist()} == {*ok["sample_id"].to_pylist()}
    assert len(cleaned) + len(removed) == len(ok)
    labels = read_table(undisturbed.labels, LABELS)
    assert sorted(set(cleaned["label_id"].to_pylist())) == list(range(pc.count(labels["label_id"]).as_py()))
    counts = read_json(undisturbed.info)["counts"]
    assert counts == {"rows": 109, "ok": 108, "not_ok": 1, "cleaned": len(cleaned), "removed": len(removed)}


def test_verdicts_find_the_wrong_labels(undisturbed: RunFolder) -> None:
    truth = read_json(undisturbed.info)["truth"]
    assert truth["average_precision"] > 0.8


def test_the_run_explains_itself(undisturbed: RunFolder) -> None:
    info = read_json(undisturbed.info)
    assert info["seed"] == 3
    assert set(info["stages"]) == {
        "ingest",
        "embed",
        "analyze",
        "apply",
        "evaluate",
        *(f"train-{name}" for name in ("round-1", "raw", "oracle", "purified", "random")),
    }
    assert all(len(digest) == 64 for digest in info["input_hashes"].values())
    evaluation = read_json(undisturbed.evaluation)
    assert set(evaluation["models"]) == {"raw", "purified", "random", "oracle"}
    assert evaluation["models"]["random"]["n_train"] == evaluation["models"]["purified"]["n_train"]
    assert evaluation["pairs"]["used"] == 60
    summary = run_summary(undisturbed)
    assert summary["pairs_excluded_identity"] == 0
    assert summary["auc_purified"] == evaluation["models"]["purified"]["auc"]
    assert "report.html" in {path.name for path in undisturbed.root.iterdir()}
    assert not list(undisturbed.root.rglob("*.shards*"))
    assert not list(undisturbed.root.rglob("resume.safetensors"))


def test_artifacts_are_on_the_server(undisturbed: RunFolder) -> None:
    from prefect import get_client

    async def keys() -> set[str]:
        async with get_client() as client:
            return {artifact.key for artifact in await client.read_artifacts() if artifact.key}

    assert {"purify-summary", "purify-report", "progress-ingest", "progress-embed"} <= asyncio.run(keys())


def test_a_finished_run_resumed_does_nothing_again(undisturbed: RunFolder) -> None:
    before = {path: path.stat().st_mtime_ns for path in undisturbed.root.rglob("*.safetensors")}
    results = result_bytes(undisturbed)
    run_request(resumed_request(undisturbed.root), quiet=True)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert result_bytes(undisturbed) == results


_RUN = """
import sys, json
from purify.orchestration.launch import run_request
from purify.pipeline.request import RunRequest
from purify.config import PurifyConfig
values = json.loads(sys.argv[1])
run_request(RunRequest(**{**values, "config": PurifyConfig.model_validate(values["config"])}), quiet=True)
"""


def test_killed_in_training_and_in_embedding_it_gives_the_same_bytes(
    undisturbed: RunFolder, noisy_set: NoisySet, tmp_path: Path, prefect_server: str
) -> None:
    run = RunFolder(tmp_path / "killed")
    request = _request(noisy_set, run.root)
    for stage in ("training", "embedding"):
        values = {**vars(request), "config": request.config.model_dump(mode="json")}
        child = subprocess.Popen(
            [sys.executable, "-c", _RUN, json.dumps(values)], env={**os.environ, "PREFECT_API_URL": prefect_server}
        )
        while not _reached(run, stage):
            assert child.poll() is None
            time.sleep(0.005)
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert not run.cleaned.exists()
        request = resumed_request(run.root)
    run_request(request, quiet=True)
    assert result_bytes(run) == result_bytes(undisturbed)
    assert not list(run.root.rglob(".partial-*"))


def _reached(run: RunFolder, stage: str) -> bool:
    if stage == "training":
        return (run.round(1).root / "resume.safetensors").exists()
    return any(run.round(1).root.glob("embeddings.shards-*/*.npy"))


def test_a_collapse_writes_no_verdicts_and_keeps_what_was_done(noisy_set: NoisySet, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "collapsed")
    with pytest.raises(TrainingCollapsedError):
        run_request(_request(noisy_set, run.root, learning_rate=1e-7, min_steps=60), quiet=True)
    assert run.manifest.exists()
    assert not run.verdicts.exists()
    assert not run.cleaned.exists()


def test_bad_pairs_are_refused_before_any_training(noisy_set: NoisySet, tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("a,b,same\nx.png,y.png,1\n")
    config = noisy_set.config()
    config = config.model_copy(update={"evaluate": config.evaluate.model_copy(update={"pairs": str(bad)})})
    run = RunFolder(tmp_path / "run")
    with pytest.raises(InputError, match="none of its 1 pairs"):
        run_request(RunRequest(str(noisy_set.table), str(run.root), config), quiet=True)
    assert not run.round(1).root.exists()


def test_two_processes_do_not_share_a_run(undisturbed: RunFolder, noisy_set: NoisySet) -> None:
    with undisturbed.lock(), pytest.raises(InputError, match="another purify process"):
        run_request(_request(noisy_set, undisturbed.root), quiet=True)
    assert undisturbed.manifest.exists()
