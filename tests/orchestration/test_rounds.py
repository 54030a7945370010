"""Rounds in the flow: purify, train on what was kept, embed, purify again; against a real Prefect server."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from purify.models.checkpoint import load_checkpoint
from purify.orchestration.launch import run_request
from purify.pipeline.fingerprint import stage_seconds
from purify.pipeline.request import RunRequest, resumed_request
from purify.pipeline.summary import run_summary
from purify.storage.files import read_json, read_table
from purify.storage.run_folder import RunFolder
from purify.tables.apply import apply_verdicts
from purify.tables.schema import CHANGES, CLEANED, MANIFEST, REMOVED, VERDICTS
from tests.noisy_set import NoisySet

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

_RUN = """
import json, sys
from purify.orchestration.launch import run_request
from purify.pipeline.fingerprint import stage_seconds
from purify.pipeline.request import RunRequest
from purify.config import PurifyConfig
values = json.loads(sys.argv[1])
run_request(RunRequest(**{**values, "config": PurifyConfig.model_validate(values["config"])}), quiet=True)
"""


def _request(
    noisy_set: NoisySet,
    folder: Path,
    *,
    embeddings: Path | None = None,
    images: list[str] | None = None,
    **limits: float | None,
) -> RunRequest:
    """Two rounds, whatever they change, and the model of the purified set; `limits` are others of the section."""
    config = noisy_set.config()
    rounds = {"most": 2, "least_change": 0, "least_noise_change": 0, **limits}
    update = {
        "rounds": config.rounds.model_validate(rounds),
        "ingest": config.ingest.model_copy(update={} if images is None else {"images": images}),
        "evaluate": config.evaluate.model_copy(update={"pairs": None}),
    }
    return RunRequest(
        source=str(noisy_set.table),
        run_folder=str(folder),
        config=config.model_copy(update=update),
        embeddings=str(embeddings) if embeddings else None,
    )


@pytest.fixture(scope="module")
def two_rounds(noisy_set: NoisySet, tmp_path_factory: pytest.TempPathFactory, prefect_server: str) -> RunFolder:
    folder = tmp_path_factory.mktemp("runs") / "two-rounds"
    run_request(_request(noisy_set, folder), quiet=True)
    return RunFolder(folder)


def _rounds(run: RunFolder) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read_json(run.info)["rounds"]
    return found


def _final(verdict: dict[str, Any]) -> str | None:
    return {"keep": verdict["label"], "relabel": verdict["new_label"]}.get(verdict["decision"])


def test_the_second_round_trains_on_what_the_first_kept_and_judges_all_again(two_rounds: RunFolder) -> None:
    manifest = read_table(two_rounds.manifest, MANIFEST)
    first, second = two_rounds.round(1), two_rounds.round(2)
    trained_on = read_table(second.training_table, CLEANED)
    assert trained_on.equals(apply_verdicts(manifest, read_table(first.verdicts, VERDICTS)).cleaned)
    checkpoint = load_checkpoint(second.checkpoint)
    assert checkpoint.extra["images"] == len(trained_on) < load_checkpoint(first.checkpoint).extra["images"]
    assert checkpoint.head_weight.shape[1] == 3
    before, after = read_table(first.verdicts, VERDICTS), read_table(second.verdicts, VERDICTS)
    assert after.select(["sample_id", "label"]).equals(before.select(["sample_id", "label"]))
    assert {path.name for path in second.root.iterdir()} == {
        "train.parquet",
        "checkpoint",
        "embeddings.parquet",
        "verdicts.parquet",
        "class_report.parquet",
        "changes.parquet",
    }


def test_the_changes_are_the_difference_of_the_verdicts(two_rounds: RunFolder) -> None:
    before, after = (read_table(two_rounds.round(n).verdicts, VERDICTS).to_pylist() for n in (1, 2))
    expected = [new["sample_id"] for old, new in zip(before, after, strict=True) if _final(old) != _final(new)]
    assert read_table(two_rounds.round(2).changes, CHANGES)["sample_id"].to_pylist() == expected
    first, second = _rounds(two_rounds)
    assert (first["round"], first["changed"], first["stopped_because"]) == (1, None, None)
    assert (second["round"], second["changed"]) == (2, len(expected))
    assert second["stopped_because"] == ("most_rounds" if expected else "nothing_changed")
    assert second["noise_estimate"] == pytest.approx(sum(1 - v["p_clean"] for v in after) / len(after))


def test_the_last_verdicts_are_those_of_the_run(two_rounds: RunFolder) -> None:
    assert two_rounds.verdicts == two_rounds.round(2).verdicts
    purified = apply_verdicts(read_table(two_rounds.manifest, MANIFEST), read_table(two_rounds.verdicts, VERDICTS))
    assert read_table(two_rounds.cleaned, CLEANED).equals(purified.cleaned)
    assert read_table(two_rounds.removed, REMOVED).equals(purified.removed)
    model = load_checkpoint(two_rounds.model("purified") / "checkpoint")
    last = _rounds(two_rounds)[-1]
    assert model.extra["images"] == last["kept"] == len(purified.cleaned)
    assert {"train-round-2", "embed-round-2", "analyze-round-2", "compare-round-2"} <= set(stage_seconds(two_rounds))


def test_the_rounds_are_shown(two_rounds: RunFolder) -> None:
    summary = run_summary(two_rounds)
    first, second = _rounds(two_rounds)
    assert summary["rounds"] == 2
    assert summary["round_1_noise_estimate"] == first["noise_estimate"]
    assert summary["round_2_changed"] == second["changed"]
    assert summary["rounds_stopped_because"].startswith(second["stopped_because"])
    assert 'id="rounds"' in two_rounds.report.read_text(encoding="utf-8")


def test_killed_in_the_second_round_it_goes_on_there(
    two_rounds: RunFolder, noisy_set: NoisySet, tmp_path: Path, prefect_server: str
) -> None:
    run = RunFolder(tmp_path / "killed")
    request = _request(noisy_set, run.root)
    values = {**vars(request), "config": request.config.model_dump(mode="json")}
    child = subprocess.Popen(
        [sys.executable, "-c", _RUN, json.dumps(values)], env={**os.environ, "PREFECT_API_URL": prefect_server}
    )
    while not (run.round(2).root / "resume.safetensors").exists():
        assert child.poll() is None
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert [summary["round"] for summary in _rounds(run)] == [1]
    first = {path: path.stat().st_mtime_ns for path in run.round(1).root.rglob("*") if path.is_file()}
    run_request(resumed_request(run.root), quiet=True)
    assert {path: path.stat().st_mtime_ns for path in first} == first
    for path in sorted(two_rounds.root.rglob("*.parquet")):
        assert (run.root / path.relative_to(two_rounds.root)).read_bytes() == path.read_bytes()
    assert _rounds(run) == _rounds(two_rounds)


@pytest.mark.parametrize(
    ("limits", "last", "stop"),
    [
        ({"most": 5, "least_change": 1, "least_noise_change": 1}, 2, "settled"),
        ({"most": 1}, 1, "most_rounds"),
        ({"most": None, "second_from": 1}, 1, "one_is_enough"),
        ({"most": None, "least_change": 1, "least_noise_change": 1}, 2, "settled"),
    ],
)
def test_the_stop_rule_decides_which_round_is_the_last(
    limits: dict[str, float | None], last: int, stop: str, two_rounds: RunFolder, noisy_set: NoisySet, tmp_path: Path
) -> None:
    """On a copy of the run, whose rounds are done: only what depends on the rule is done again."""
    run = RunFolder(tmp_path / "copy")
    shutil.copytree(two_rounds.root, run.root)
    run_request(_request(noisy_set, run.root, **limits), quiet=True)
    assert [summary["round"] for summary in _rounds(run)] == list(range(1, last + 1))
    assert _rounds(run)[-1]["stopped_because"] == stop
    assert run.verdicts == run.round(last).verdicts
    kept = read_table(run.cleaned, CLEANED)
    assert kept.equals(apply_verdicts(read_table(run.manifest, MANIFEST), read_table(run.verdicts, VERDICTS)).cleaned)


def test_rounds_after_given_embeddings_train_from_the_images(
    two_rounds: RunFolder, noisy_set: NoisySet, tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "given")
    run_request(_request(noisy_set, run.root, embeddings=two_rounds.round(1).embeddings), quiet=True)
    assert not run.round(1).checkpoint.exists()
    assert run.round(2).changes.exists()
    assert load_checkpoint(run.round(2).checkpoint).extra["images"] == _rounds(run)[0]["kept"]


def test_given_embeddings_without_images_are_one_round_and_say_so(
    two_rounds: RunFolder, noisy_set: NoisySet, tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "no-images")
    request = _request(noisy_set, run.root, embeddings=two_rounds.round(1).embeddings, images=[])
    usable = tmp_path / "usable.csv"  # without its image, nobody sees that the broken one is broken
    lines = noisy_set.table.read_text(encoding="utf-8").splitlines(keepends=True)
    usable.write_text("".join(line for line in lines if "broken.png" not in line), encoding="utf-8")
    summary = run_request(replace(request, source=str(usable)), quiet=True)
    assert [entry["stopped_because"] for entry in _rounds(run)] == ["no_images"]
    assert summary["rounds"] == 1
    assert "no images to train another round on" in summary["rounds_stopped_because"]
    assert "no images to train another round on" in run.report.read_text(encoding="utf-8")
