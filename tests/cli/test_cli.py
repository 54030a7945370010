"""The command line on bad input: one clear message, exit code 2, nothing half-written."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from purify.cli import main
from purify.config import PurifyConfig, RoundsConfig
from purify.config_files import load_config, to_toml
from purify.pipeline.request import RunRequest

Draw = Callable[[Path, float, np.random.Generator], None]


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def images(tmp_path: Path, draw_stripes: Draw) -> Path:
    rng = np.random.default_rng(0)
    for label in ("a", "b"):
        for k in range(3):
            draw_stripes(tmp_path / "images" / label / f"{k}.png", 0.5, rng)
    return tmp_path / "images"


def _refused(result: Result, out: Path, *words: str) -> None:
    assert result.exit_code == 2, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    for word in words:
        assert word in result.stderr
    assert not out.exists() or not [path for path in out.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path,label\na/0.png,a\na/1.png,\n", ("row 2", "label")),
        ("path,label\na/0.png,a\na/0.png,b\n", ("row 2", "a/0.png")),
        ("path,label\na/0.png,a\n../secret.png,b\n", ("row 2", "../secret.png")),
        ("path,label\n/etc/passwd,a\n", ("row 1", "/etc/passwd")),
        ("file,name\nx,y\n", ("label", "file")),
        ("path,label\n", ("t.csv",)),
        ("path,label\nnone/0.png,a\nnone/1.png,b\n", ("none/0.png",)),
    ],
    ids=["empty label", "duplicate", "leaves the root", "absolute", "columns", "no rows", "all missing"],
)
def test_bad_tables(images: Path, tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    table, out = tmp_path / "t.csv", tmp_path / "out"
    table.write_text(text)
    _refused(_run("ingest", table, "--images", images, "--out", out), out, *words)


def test_bad_files(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (tmp_path / "t.parquet").write_bytes(b"PAR1 not really")
    _refused(_run("ingest", tmp_path / "t.parquet", "--images", images, "--out", out), out, "t.parquet")
    (tmp_path / "t.tar").write_bytes(b"not a tar")
    _refused(_run("ingest", tmp_path / "t.tar", "--out", out), out, "t.tar")
    (tmp_path / "empty").mkdir()
    _refused(_run("ingest", tmp_path / "empty", "--out", out), out, "empty")
    (tmp_path / "t.txt").write_text("hello")
    _refused(_run("ingest", tmp_path / "t.txt", "--out", out), out, "t.txt")
    _refused(_run("ingest", tmp_path / "nowhere", "--out", out), out, "nowhere")


def test_broken_images_are_rows_and_the_run_goes_on(images: Path, tmp_path: Path) -> None:
    (images / "a" / "zero.jpg").write_bytes(b"")
    (images / "a" / "page.jpg").write_text("<html>")
    (images / "a" / "cut.png").write_bytes((images / "a" / "0.png").read_bytes()[:200])
    result = _run("ingest", images, "--out", tmp_path / "out", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["unreadable"] == 3
    rows = pq.read_table(tmp_path / "out" / "manifest.parquet").to_pylist()
    reasons = {row["sample_id"]: row["status_reason"] for row in rows if row["status"] != "ok"}
    assert set(reasons) == {"a/cut.png", "a/page.jpg", "a/zero.jpg"}
    assert reasons["a/zero.jpg"].startswith("zero_bytes")
    assert reasons["a/page.jpg"].startswith("not_an_image")
    assert reasons["a/cut.png"].startswith("truncated")


def test_what_the_source_lacks_is_said_by_ingest(images: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,label\na/0.png,a\nnowhere.png,a\n")
    result = _run("ingest", tmp_path / "t.csv", "--images", images, "--out", tmp_path / "out", "--json")
    assert json.loads(result.stdout)["unreadable"] == 1
    assert "Warning: 1 of 2 images are missing from the image roots" in result.stderr


def test_folder_and_tar_give_the_same_rows(images: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "images.tar", "w") as tar:
        tar.add(images, arcname="images")
    for source, out in ((images, "folder"), (tmp_path / "images.tar", "tar")):
        assert _run("ingest", source, "--out", tmp_path / out).exit_code == 0
    folder, tar_rows = (
        pq.read_table(tmp_path / out / "manifest.parquet", columns=["label", "sha256", "status"]).to_pylist()
        for out in ("folder", "tar")
    )
    assert folder == tar_rows


def _embeddings(path: Path, ids: list[str], *, dim: int = 4, bad: float | None = None) -> Path:
    vectors = np.random.default_rng(0).normal(size=(len(ids), dim)).astype(np.float32)
    if bad is not None:
        vectors[1, 0] = bad
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), dim)
    pq.write_table(pa.table({"path": ids, "embedding": column}), path)
    return path


def test_bad_embeddings(tmp_path: Path) -> None:
    table, out = tmp_path / "t.csv", tmp_path / "out"
    table.write_text("path,label\n" + "".join(f"{i}.png,{'ab'[i % 2]}\n" for i in range(6)))
    ids = [f"{i}.png" for i in range(6)]
    missing = _embeddings(tmp_path / "missing.parquet", ids[:-1])
    none_missing = ["--set", "embeddings.most_missing=0"]
    _refused(_run("analyze", table, "--embeddings", missing, "--out", out, *none_missing), out, "5.png")
    nan = _embeddings(tmp_path / "nan.parquet", ids, bad=float("nan"))
    _refused(_run("analyze", table, "--embeddings", nan, "--out", out, *none_missing), out, "nan.parquet")
    pq.write_table(pa.table({"path": ids, "vector": [1.0] * 6}), tmp_path / "columns.parquet")
    _refused(_run("analyze", table, "--embeddings", tmp_path / "columns.parquet", "--out", out), out, "embedding")
    good = _embeddings(tmp_path / "good.parquet", ids)
    _refused(_run("analyze", table, "--embeddings", good, "--out", out, "--rule", "best"), out, "analyze.rule")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--set", "train.epoch=3"], "train.epoch"),
        (["--set", "train.epochs=many"], "train.epochs"),
        (["--set", "nonsense"], "section.key=value"),
        (["--set", "train.subcenters=99"], "train.subcenters"),
        (["--set", "train.epoch=3"], "--set train.epoch: no such setting; did you mean 'train.epochs'?"),
        (["--set", "epochs=3"], "did you mean 'train.epochs'?"),
        (["--set", "analyse.rule=paper"], "--set analyse: no such setting; did you mean 'analyze'?"),
        (["--set", "analyze.rule=ofical"], "did you mean 'official'?"),
    ],
)
def test_bad_settings(arguments: list[str], word: str) -> None:
    result = _run("config", *arguments)
    assert result.exit_code == 2
    assert word in result.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[train]\nepoch = 3\n", ("train.epoch: no such setting", "'train.epochs'")),
        ("[trian]\nepochs = 3\n", ("trian: no such setting", "'train'")),
        ('[analyze]\nrule = "paperr"\n', ("analyze.rule", "'paper'")),
        ("[train]\nepochs = 0\nmargin = 9\n", ("train.epochs: ", "train.margin: ")),
        (f"[train]\nepochs = {'9' * 5000}\n", ("not a TOML file",)),
        (f"a = {'[' * 5000}{']' * 5000}\n", ("nested too deeply",)),
        ("train = 3\n", ("train: ",)),
    ],
    ids=["key", "section", "choice", "all problems at once", "digits", "depth", "no section"],
)
def test_errors_of_a_configuration_name_the_file_and_the_key(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    path = tmp_path / "run.toml"
    path.write_text(text)
    result = _run("config", "--config", path)
    assert result.exit_code == 2
    assert f"{path}: " in result.stderr
    assert all(word in result.stderr for word in words), result.stderr


@pytest.mark.parametrize("record", ["{}", "[]", '{"source": "/x", "config": {"trane": 1}}', '{"source": "/x"}'])
def test_a_record_that_is_of_no_run_is_refused(tmp_path: Path, record: str) -> None:
    (tmp_path / "run.json").write_text(record)
    result = _run("run-flow", "--resume", tmp_path)
    assert result.exit_code == 2
    assert "run.json" in result.stderr


def test_label_depth_is_a_setting(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def run_request(request: RunRequest, *, quiet: bool) -> dict[str, str]:
        asked.append(request.config.ingest.label_depth)
        return {"run": request.run_folder}

    monkeypatch.setattr("purify.orchestration.launch.run_request", run_request)
    assert _run("run-flow", images, "--out", tmp_path / "runs", "--label-depth", 1, "--json").exit_code == 0
    assert asked == [1]
    assert _run("ingest", images, "--out", tmp_path / "out", "--label-depth", 1).exit_code == 0
    assert "--label-depth" in _run("ingest", images, "--out", tmp_path / "out", "--label-depth", 0).stderr


def test_config_prints_what_it_reads(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(_run("config", "--set", "train.epochs=7", "--set", "evaluate.pairs=p.txt").output)
    config = load_config(path)
    assert config.train.epochs == 7
    assert config.evaluate.pairs == str(Path.cwd() / "p.txt")
    path.write_text(to_toml(PurifyConfig()))
    assert load_config(path) == PurifyConfig()


def test_run_flow_refuses_before_it_writes(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    _refused(_run("run-flow", images, "--out", out, "--resume", tmp_path), out, "--resume")
    _refused(_run("run-flow", "--resume", tmp_path), out, "nothing to resume")
    _refused(_run("run-flow", "--resume", tmp_path, "--rounds", 2), out, "--resume")
    _refused(_run("run-flow", images, "--out", out, "--rounds", 0), out, "--rounds")
    _refused(_run("run-flow", images, "--out", out, "--name", "../elsewhere"), out, "--name")


def test_rounds_are_a_shorthand(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def run_request(request: RunRequest, *, quiet: bool) -> dict[str, str]:
        asked.append(request.config.rounds)
        return {"run": request.run_folder}

    monkeypatch.setattr("purify.orchestration.launch.run_request", run_request)
    assert _run("run-flow", images, "--out", tmp_path / "runs", "--rounds", 3, "--json").exit_code == 0
    assert _run("run-flow", images, "--out", tmp_path / "runs", "--set", "rounds.most=3", "--json").exit_code == 0
    assert asked == [RoundsConfig(most=3)] * 2


@pytest.mark.slow
def test_no_traceback_from_a_real_process(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("path,label\n../x.png,a\n")
    result = subprocess.run(
        [sys.executable, "-m", "purify", "run-flow", str(table), "--out", str(tmp_path / "runs")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert "row 1" in result.stderr
    assert "Traceback" not in result.stderr + result.stdout
    assert not [path for path in tmp_path.rglob("runs/*/*") if path.is_file()]


@pytest.mark.parametrize(
    "arguments",
    [
        ["ingest", ".", "--out", ""],
        ["run-flow", ".", "--out", ""],
        ["analyze", "", "--embeddings", ".", "--out", "x"],
        ["run-flow", "", "--name", "x"],
    ],
)
def test_an_empty_path_is_not_the_present_folder(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert "be empty" in result.stderr
    assert not list(tmp_path.iterdir())
