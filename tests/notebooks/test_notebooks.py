from __future__ import annotations

import base64
import os
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from purify.errors import InputError
from purify.report import read_run
from purify.report.known_truth import truth_figures
from purify.report.run_overview import counts
from purify.storage.run_folder import RunFolder
from purify_demo.small_run import run_to_look_at

OF_RUNS = ["compare_runs", "inspect_class", "noise_statistics"]
#: Name -> figures in the committed outputs, at least.
FIGURES = {**dict.fromkeys(OF_RUNS, 5), "label_errors": 1}


def _figures(notebook: nbformat.NotebookNode) -> list[bytes]:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [base64.b64decode(o["data"]["image/png"]) for o in outputs if "image/png" in o.get("data", {})]


def _execute(path: Path, run: RunFolder, patch: pytest.MonkeyPatch) -> nbformat.NotebookNode:
    root = path.parents[1]
    patch.setenv("PURIFY_RUN", str(run.root))
    patch.setenv("PYTHONPATH", os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell["outputs"] = []
    client = NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        startup_timeout=300,
    )
    client.execute()
    return notebook


@pytest.mark.slow
def test_the_small_run_is_whole_and_its_noise_is_found(small_run: RunFolder) -> None:
    run = read_run(small_run.root)
    found = counts(run.manifest, run.verdicts)
    assert found["images"] == found["kept"] + found["removed"] + found["not usable"]
    assert "mixed" in run.class_report["flag"].to_pylist()
    truth = truth_figures(run.manifest, run.verdicts)
    assert truth is not None
    assert truth["f1"] > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_RUNS)
def test_each_notebook_of_a_run_runs_from_its_first_cell_to_its_last(
    name: str, notebooks: list[Path], small_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = [path for path in notebooks if path.stem == name]
    notebook = _execute(path, small_run, monkeypatch)
    # The small run trains no models, so that two runs have no verification to compare.
    assert len(_figures(notebook)) >= (4 if name == "compare_runs" else 5)
    assert "demo-small" in str(notebook.cells[1]["outputs"])


@pytest.mark.slow
def test_the_notebook_of_label_errors_finds_them(
    notebooks: list[Path], small_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = [path for path in notebooks if path.stem == "label_errors"]
    notebook = _execute(path, small_run, monkeypatch)
    printed = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    found = re.search(r"precision ([\d.]+), recall ([\d.]+)", printed)
    assert found
    assert min(map(float, found.groups())) > 0.97
    assert "rule long_enough/1" in printed


def test_the_committed_outputs_are_whole_small_and_of_drawn_people(notebooks: list[Path]) -> None:
    assert [path.stem for path in notebooks] == sorted(FIGURES)
    for path in notebooks:
        assert path.stat().st_size < 1_000_000
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
        outputs = [output for cell in code for output in cell.outputs]
        assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
        assert len(_figures(notebook)) >= FIGURES[path.stem]
        texts = " ".join(str(output.get("data", {}).get("text/plain", output.get("text", ""))) for output in outputs)
        assert not re.search(r"/(tmp|home|work|root|Users)/", texts)
        assert "demo" in texts or path.stem not in OF_RUNS


def test_a_run_that_is_named_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no verdicts"):
        run_to_look_at(str(tmp_path))
