"""A proof on a small set: its cells, its table, and its resumption."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from purify.cli.app import main
from purify.config import PurifyConfig
from purify.errors import InputError
from purify.pipeline.proof import prove
from purify.pipeline.proof_plan import CALIBRATED, Kind, ProofPlan, comparisons, plan_cells
from purify.storage.files import read_json
from purify.storage.run_folder import RunFolder
from tests.noisy_set import NoisySet

CELLS = ("k1-raw", "k3-raw", "official-85", "calibrated", "random", "oracle")
PLAN = ProofPlan(seeds=(3,), angles=(85.0,), rounds=1, only=CELLS)
SHORT = {"min_steps": 100, "epochs": 1, "checkpoint_seconds": 0.0}

_PROVE = """
import json, sys
from pathlib import Path
from purify.config import PurifyConfig
from purify.pipeline.proof import prove
from purify.pipeline.proof_plan import ProofPlan
source, out, config, only = json.loads(sys.argv[1])
if __name__ == "__main__":
    plan = ProofPlan(seeds=(3,), angles=(85.0,), rounds=1, only=only)
    prove(source, Path(out), PurifyConfig.model_validate(config), plan, progress=False)
"""


def test_the_cells_are_those_of_the_paper() -> None:
    cells = plan_cells(ProofPlan(), PurifyConfig(), truth=True, extractor="dlib")
    assert [cell.name for cell in cells] == [
        "k1-raw",
        "k3-raw",
        *(f"official-{angle}" for angle in (70, 75, 80, 85)),
        "calibrated",
        "rounds",
        "own-extractor",
        "random",
        "oracle",
    ]
    assert [cell.angle for cell in cells if cell.kind == Kind.ANGLE] == [70, 75, 80, 85]
    fewer = plan_cells(ProofPlan(rounds=1), PurifyConfig(), truth=False, extractor=None)
    assert {cell.name for cell in cells} - {cell.name for cell in fewer} == {"rounds", "own-extractor", "oracle"}
    pairs = comparisons(fewer)
    assert (CALIBRATED, "k1-raw") in pairs
    assert (CALIBRATED, "random") in pairs
    assert not any("oracle" in pair for pair in pairs)
    with pytest.raises(
        InputError, match=r"--cell offical-75: there is no such cell; the cells are .*; did you mean 'official-75'"
    ):
        plan_cells(ProofPlan(only=["offical-75"]), PurifyConfig(), truth=True, extractor=None)


@pytest.fixture(scope="module")
def proof(noisy_set: NoisySet, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("proof")
    return out, prove(noisy_set.table, out, noisy_set.config(**SHORT), PLAN, progress=False)


@pytest.mark.slow
def test_every_cell_is_measured_and_recorded(proof: tuple[Path, dict[str, Any]]) -> None:
    out, record = proof
    assert record == json.loads((out / "proof.json").read_text())
    assert [cell["name"] for cell in record["cells"]] == list(CELLS)
    assert record["open"] == []
    cells = {cell["name"]: cell for cell in record["cells"]}
    kept = cells["calibrated"]["n_train"]
    assert cells["k1-raw"]["n_train"] == cells["k3-raw"]["n_train"] == 108
    assert cells["random"]["n_train"] == kept
    assert cells["oracle"]["n_train"] == 84
    assert cells["official-85"]["n_train"] <= 108
    for cell in record["cells"]:
        (entry,) = cell["records"]
        assert entry["seed"] == 3
        assert entry["subcenters"] == (3 if cell["name"] == "k3-raw" else 1)
        assert entry["config"]["train"]["min_steps"] == 100
        assert set(entry["sha256"]) == {"table", "model", "scores"}
        low, high = cell["auc"]["interval"]
        assert low <= cell["auc"]["value"] <= high
        judged = cell["name"].startswith(("official", "calibrated"))
        assert (cell["detection"] is not None) == judged
    assert record["differences"]["calibrated-k1-raw"]["auc"]["finding"] in ("better", "worse", "no clear difference")
    assert "1 training seed tells little" in " ".join(record["notes"])
    models = {entry["sha256"]["model"] for cell in record["cells"] for entry in cell["records"]}
    assert len(models) == len(CELLS)  # one K = 3 training alone, and each table its own
    assert RunFolder(out / "seed-3").round(1).checkpoint.exists()


@pytest.mark.slow
def test_the_table_is_shown_in_all_forms_and_again_without_training(
    proof: tuple[Path, dict[str, Any]], noisy_set: NoisySet
) -> None:
    out, record = proof
    before = {name: (out / name).read_bytes() for name in ("proof.json", "proof.md", "proof.html")}
    text, page = before["proof.md"].decode(), before["proof.html"].decode()
    for cell in record["cells"]:
        shown = cell["title"].replace(">", "&gt;")
        assert shown in text
        assert shown in page
        assert f"{cell['auc']['value']:.4f} [" in text
    assert "<script" not in page
    again = prove(noisy_set.table, out, noisy_set.config(**SHORT), PLAN, so_far=True, progress=False)
    assert again == record
    assert {name: (out / name).read_bytes() for name in before} == before
    with pytest.raises(InputError, match=r"this proof is of .*; give another --out"):
        prove(noisy_set.images, out, noisy_set.config(**SHORT), PLAN, progress=False)


@pytest.mark.slow
def test_killed_and_called_again_it_gives_the_same_bytes(
    proof: tuple[Path, dict[str, Any]], noisy_set: NoisySet, tmp_path: Path
) -> None:
    _, record = proof
    config = noisy_set.config(**SHORT).model_dump(mode="json")
    only = ["k3-raw", "official-85"]
    command = [sys.executable, "-c", _PROVE, json.dumps([str(noisy_set.table), str(tmp_path / "killed"), config, only])]
    checkout = str(Path(__file__).resolve().parents[2])
    run = RunFolder(tmp_path / "killed" / "seed-3")
    with subprocess.Popen(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": checkout}) as child:
        while not (run.root / "cells" / "k3-raw" / "scores.parquet").exists():
            assert child.poll() is None
            time.sleep(0.005)
        child.send_signal(signal.SIGKILL)
    assert not (run.root / "cells" / "official-85" / "cell.json").exists()
    subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": checkout}, check=True)
    for name in only:
        (entry,) = next(cell["records"] for cell in record["cells"] if cell["name"] == name)
        assert read_json(run.root / "cells" / name / "cell.json") == entry  # hashes of table, model and scores, too


@pytest.mark.slow
def test_the_truth_may_be_a_file_and_verification_left_out(noisy_set: NoisySet, tmp_path: Path) -> None:
    with noisy_set.table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    truth, bare = tmp_path / "truth.csv", tmp_path / "bare.csv"
    for path, names in ((truth, ("path", "true_label")), (bare, ("path", "label"))):
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=names, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
    arguments = [str(bare), "--images", str(noisy_set.images), "--out", str(tmp_path / "proof"), "--seeds", "1"]
    settings = [
        "--set",
        "train.threads=1",
        "--set",
        "train.min_steps=100",
        "--set",
        "train.epochs=1",
        "--set",
        "model.input_size=32",
    ]
    settings += ["--set", "model.embedding_dim=16", "--set", "train.batch_size=16", "--extractor", "scratch"]
    some = ["--cell", "official-85", "--cell", "calibrated", "--angles", "85", "--rounds", "1"]
    result = CliRunner().invoke(main, ["prove", *arguments, *settings, *some, "--truth", str(truth), "--json"])
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert [cell["name"] for cell in record["cells"]] == ["official-85", "calibrated"]
    assert all(cell["detection"]["noise_share"] == pytest.approx(24 / 108) for cell in record["cells"])
    assert "nothing but the verdicts is measured" in " ".join(record["notes"])
    assert not list((tmp_path / "proof").rglob("baselines/*/checkpoint"))
    shown = CliRunner().invoke(main, ["prove", *arguments, *settings, *some, "--truth", str(truth), "--so-far"])
    assert "noise found" in shown.stdout
    wrong = CliRunner().invoke(main, ["prove", *arguments, "--angles", "70,x"])
    assert wrong.exit_code == 2
    assert "expected degrees" in wrong.output
