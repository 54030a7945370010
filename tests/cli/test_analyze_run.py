"""``purify analyze`` leaves a run: report, apply, resume and a second analysis take it up; reviews stay."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

import purify
from purify.analysis.rules.calibrated import CALIBRATED
from purify.analysis.rules.rule import identifier
from purify.cli import main
from purify.config import PurifyConfig
from purify.pipeline.manifest_analysis import analyze_manifest
from purify.pipeline.request import resumed_request
from purify.pipeline.run import run as run_pipeline
from purify.storage.files import read_json, read_table, write_table
from purify.storage.run_folder import RunFolder
from purify.tables.apply import apply_verdicts
from purify.tables.manifest import load_manifest
from purify.tables.schema import CLASS_REPORT, CLEANED, LABELS, REMOVED, REVIEWS, VERDICTS

PEOPLE, EACH = 6, 12


def _run(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "80"}).invoke(main, [str(argument) for argument in arguments])


def _done(*arguments: object) -> str:
    result = _run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """People with two wrong labels."""
    path = tmp_path / "faces.csv"
    labels = [f"p{person}" for person in range(PEOPLE) for _ in range(EACH)]
    labels[0], labels[EACH] = "p1", "p2"
    path.write_text("path,label\n" + "".join(f"{i}.png,{label}\n" for i, label in enumerate(labels)))
    return path


@pytest.fixture
def embeddings(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    vectors = np.repeat(rng.normal(size=(PEOPLE, 32)), EACH, axis=0) + 0.4 * rng.normal(size=(PEOPLE * EACH, 32))
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.astype(np.float32).ravel()), 32)
    pq.write_table(
        pa.table({"path": [f"{i}.png" for i in range(PEOPLE * EACH)], "embedding": column}), tmp_path / "e.parquet"
    )
    return tmp_path / "e.parquet"


@pytest.fixture
def run(table: Path, embeddings: Path, tmp_path: Path) -> RunFolder:
    _done("analyze", table, "--embeddings", embeddings, "--out", tmp_path / "run")
    return RunFolder(tmp_path / "run")


def _review(run: RunFolder, sample_id: str, decision: str, new_label: str | None = None) -> bytes:
    row = {
        "sample_id": sample_id,
        "decision": decision,
        "new_label": new_label,
        "reviewer": "ann",
        "at": datetime(2026, 1, 2, tzinfo=UTC),
    }
    write_table(pa.Table.from_pylist([row], schema=REVIEWS), run.reviews)
    return run.reviews.read_bytes()


def test_it_is_a_whole_run(run: RunFolder, table: Path, embeddings: Path) -> None:
    expected = analyze_manifest(load_manifest(table), embeddings, PurifyConfig())
    for folder in (run.root, run.round(1).root):
        assert read_table(folder / "verdicts.parquet", VERDICTS).equals(expected.verdicts)
        assert read_table(folder / "class_report.parquet", CLASS_REPORT).equals(expected.class_report)
    info = read_json(run.info)
    assert (info["source"], info["embeddings"]) == (str(table), str(embeddings))
    assert info["counts"] == {"rows": 72, "ok": 72, "not_ok": 0, "cleaned": 72, "removed": 0}
    assert info["config"]["retrain"]["enabled"] is False
    assert info["versions"]["purify"] == purify.__version__
    assert info["judged_by"] == {
        "asked": "calibrated",
        "rule": identifier(CALIBRATED),
        "probabilities": True,
        "fallback": False,
        "why": "the rule asked for",
        "weak": "",
        "noise_bounds": None,
        "neighbor_recall": 1.0,
        "series": None,
        "suspected_looks": None,
    }
    assert info["rounds"][0]["noise_estimate"] == pytest.approx(2 / 72, abs=0.01)
    assert {path.stem for path in (run.root / "stages").iterdir()} == {"ingest", "analyze", "apply", "update"}
    applied = apply_verdicts(load_manifest(table), expected.verdicts)
    assert read_table(run.cleaned, CLEANED).equals(applied.cleaned)
    assert read_table(run.removed, REMOVED).equals(applied.removed)
    assert read_table(run.labels, LABELS).equals(applied.labels)
    rows = applied.cleaned.to_pylist()
    moved = {row["sample_id"]: row["label"] for row in rows if row["label"] != row["given_label"]}
    assert moved == {"0.png": "p0", "12.png": "p1"}


def test_its_report_can_be_written(run: RunFolder) -> None:
    assert str(run.report) in _done("report", run.root)
    assert run.report.exists()


def test_resuming_it_finds_nothing_to_do(run: RunFolder) -> None:
    before = {path: path.read_bytes() for path in run.root.rglob("*.parquet")}
    request = resumed_request(run.root)
    again = run_pipeline(
        request.source, request.run_folder, request.config, embeddings=request.embeddings, progress=False
    )
    assert again.info["growth"]["nothing_new"]
    assert {path: path.read_bytes() for path in run.root.rglob("*.parquet")} == before


def test_analyzing_again_judges_anew_and_keeps_reviews(
    run: RunFolder, table: Path, embeddings: Path, tmp_path: Path
) -> None:
    reviews = _review(run, "5.png", "drop")
    command = ("analyze", table, "--embeddings", embeddings, "--out", run.root, "--rule", "official", "--json")
    answer = json.loads(_done(*command))
    assert (answer["rule"], answer["judged_by"]) == ("official", "official/1")
    assert run.reviews.read_bytes() == reviews
    assert set(read_table(run.root / "verdicts.parquet", VERDICTS)["rule"].to_pylist()) == {"official/1"}
    assert (run.root / "verdicts.parquet").read_bytes() == run.verdicts.read_bytes()
    assert "5.png" in read_table(run.removed, REMOVED)["sample_id"].to_pylist()
    other = tmp_path / "other.csv"
    other.write_text("\n".join(table.read_text().splitlines()[:25]) + "\n")  # most rows are gone
    answer = json.loads(_done("analyze", other, "--embeddings", embeddings, "--out", run.root, "--json"))
    assert (answer["rows"], answer["reviewed"]) == (24, 1)
    assert run.reviews.read_bytes() == reviews


def test_a_refused_analysis_changes_nothing(run: RunFolder, table: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in run.root.rglob("*") if path.is_file()}
    pq.write_table(pa.table({"path": ["0.png"], "embedding": [[1.0, 2.0]]}), tmp_path / "few.parquet")
    result = _run("analyze", table, "--embeddings", tmp_path / "few.parquet", "--out", run.root)
    assert result.exit_code == 2
    assert {path: path.read_bytes() for path in run.root.rglob("*") if path.is_file()} == before


def test_a_run_with_models_is_not_overwritten(run: RunFolder, table: Path, embeddings: Path) -> None:
    (run.root / "retrain" / "checkpoint").mkdir(parents=True)
    (run.root / "retrain" / "checkpoint" / "model.safetensors").write_bytes(b"weights")
    before = run.verdicts.read_bytes()
    result = _run("analyze", table, "--embeddings", embeddings, "--out", run.root, "--rule", "paper")
    assert result.exit_code == 2
    assert "trained models; give another --out" in result.stderr
    assert run.verdicts.read_bytes() == before


def test_a_training_that_is_asked_for_is_left_to_resume(table: Path, embeddings: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    _done("analyze", table, "--embeddings", embeddings, "--out", out, "--set", "retrain.enabled=true")
    assert resumed_request(out).config.retrain.enabled
    assert not list(out.rglob("model.safetensors"))


def test_images_can_be_given(table: Path, embeddings: Path, tmp_path: Path, draw_stripes: object) -> None:
    assert callable(draw_stripes)
    rng = np.random.default_rng(0)
    for i in range(PEOPLE * EACH):
        if i != 7:
            draw_stripes(tmp_path / "images" / f"{i}.png", 0.5, rng)
    out = tmp_path / "run"
    text = _done("analyze", table, "--embeddings", embeddings, "--images", tmp_path / "images", "--out", out)
    assert text.startswith("Warning: 1 of 72 images are missing from the image roots")
    assert read_json(out / "run.json")["counts"]["not_ok"] == 1
    assert "--images FOLDER" not in text.partition("Next:")[2]


def test_apply_takes_a_run(run: RunFolder) -> None:
    _review(run, "5.png", "relabel", "p3")
    answer = json.loads(_done("apply", run.root, "--json"))
    assert (answer["cleaned_table"], answer["reviewed"]) == (str(run.cleaned), 1)
    labels = {row["sample_id"]: row["label"] for row in read_table(run.cleaned, CLEANED).to_pylist()}
    assert labels["5.png"] == "p3"
    assert read_json(run.info)["counts"]["reviewed"] == 1


def test_apply_refuses_half_of_either_form(run: RunFolder, tmp_path: Path) -> None:
    for arguments in ([run.root, "--out", tmp_path / "x"], [run.manifest, "--verdicts", run.verdicts]):
        result = _run("apply", *arguments)
        assert result.exit_code == 2
        assert "a RUN alone, a RUN with --dedupe and --out, or a MANIFEST with --verdicts and --out" in result.stderr
    (tmp_path / "empty").mkdir()
    result = _run("apply", tmp_path / "empty")
    assert result.exit_code == 2
    assert "no run with verdicts" in result.stderr
    assert not list((tmp_path / "empty").iterdir())


def test_stage_by_stage_in_one_folder(run: RunFolder, embeddings: Path, tmp_path: Path) -> None:
    """The manifest of the folder itself as the source."""
    out = tmp_path / "steps"
    out.mkdir()
    manifest = out / "manifest.parquet"
    manifest.write_bytes(run.manifest.read_bytes())
    _done("analyze", manifest, "--embeddings", embeddings, "--out", out)
    assert manifest.read_bytes() == run.manifest.read_bytes()
    assert RunFolder(out).verdicts.read_bytes() == run.verdicts.read_bytes()
