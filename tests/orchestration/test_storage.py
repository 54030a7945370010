"""Runs whose source and output are on a real S3-compatible server: the same bytes as on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from purify.cli import main
from purify.config import PurifyConfig
from purify.errors import InputError
from purify.orchestration.launch import run_request
from purify.pipeline.request import RunRequest, new_run_folder, resumed_request
from purify.storage.integrity import LEDGER
from purify.storage.locations import to_location
from purify.storage.run_folder import RunFolder
from tests.conftest import SECRET
from tests.noisy_set import NoisySet

WITH_URI = ("manifest.parquet", "cleaned.parquet", "removed.parquet")
"""Tables that say where each image lies; all else is equal to the byte."""


@pytest.fixture(scope="module")
def embeddings(noisy_set: NoisySet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Vectors of the noisy set's labels, with noise: what an extractor may have made of it."""
    rows = pa.csv.read_csv(noisy_set.table).to_pydict()
    names = sorted(set(rows["true_label"]))
    rng = np.random.default_rng(4)
    centers = rng.normal(size=(len(names), 16))
    vectors = np.stack([centers[names.index(name)] + 0.3 * rng.normal(size=16) for name in rows["true_label"]])
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.astype(np.float32).ravel()), 16)
    path = tmp_path_factory.mktemp("vectors") / "embeddings.parquet"
    pq.write_table(pa.table({"path": rows["path"], "embedding": column}), path)
    return path


def _upload(noisy_set: NoisySet, bucket: str, **files: Path) -> None:
    system, path = fsspec.core.url_to_fs(bucket)
    system.put(f"{noisy_set.images}/", f"{path}/images/", recursive=True)
    for name, file in files.items():
        system.put_file(str(file), f"{path}/{name}{file.suffix}")


def _config(noisy_set: NoisySet, images: str, **sections: dict[str, object]) -> PurifyConfig:
    values = noisy_set.config().model_dump()
    values["ingest"]["images"] = [images]
    values["retrain"] = {"enabled": False}
    values["evaluate"] = {"pairs": None}
    return PurifyConfig.model_validate({**values, **sections})


def _download(url: str, folder: Path) -> Path:
    system, path = fsspec.core.url_to_fs(url)
    system.invalidate_cache()
    system.get(f"{path}/", f"{folder}/", recursive=True)
    return folder


def _assert_same(local: Path, published: Path, names: list[str]) -> None:
    for name in names:
        assert (local / name).read_bytes() == (published / name).read_bytes(), name
    for name in WITH_URI:
        here, there = pq.read_table(local / name), pq.read_table(published / name)
        assert here.drop_columns("uri").equals(there.drop_columns("uri")), name
        assert all(uri.startswith("file:///") for uri in here["uri"].to_pylist())
        assert all("s3://" in uri for uri in there["uri"].to_pylist())


@pytest.mark.usefixtures("prefect_server")
def test_source_and_output_on_s3_give_the_same_bytes_and_resume_on_another_machine(
    noisy_set: NoisySet,
    embeddings: Path,
    s3_bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    local = RunRequest(
        str(noisy_set.table), str(tmp_path / "local"), _config(noisy_set, str(noisy_set.images)), str(embeddings)
    )
    run_request(local, quiet=True)
    _upload(noisy_set, s3_bucket, table=noisy_set.table, vectors=embeddings)
    url = f"{s3_bucket}/runs/one"
    remote = RunRequest(
        f"{s3_bucket}/table.csv", url, _config(noisy_set, f"{s3_bucket}/images"), f"{s3_bucket}/vectors.parquet"
    )
    monkeypatch.setenv("PURIFY_CACHE", str(tmp_path / "machine 1"))
    summary = run_request(remote, quiet=True)
    assert (summary["run"], summary["report"]) == (url, f"{url}/report.html")

    published = _download(url, tmp_path / "published")
    equal = ["round-1/verdicts.parquet", "round-1/class_report.parquet", "labels.parquet"]
    _assert_same(tmp_path / "local", published, equal)
    names = {path.relative_to(published).as_posix() for path in published.rglob("*") if path.is_file()}
    assert names == {
        path.relative_to(tmp_path / "local").as_posix()
        for path in (tmp_path / "local").rglob("*")
        if path.is_file() and path.name != ".lock" and LEDGER not in path.parts
    }
    texts = [caplog.text, *(path.read_text(errors="replace") for path in published.rglob("*") if path.is_file())]
    assert not any(SECRET in text for text in texts)
    with pytest.raises(InputError, match=f"{url}: a run exists already"):
        new_run_folder(to_location(f"{s3_bucket}/runs"), "one")

    monkeypatch.setenv("PURIFY_CACHE", str(tmp_path / "machine 2"))
    stages = {path.name: path.read_bytes() for path in (published / "stages").iterdir()}
    run_request(resumed_request(to_location(url)), quiet=True)
    again = _download(url, tmp_path / "again")
    assert {path.name: path.read_bytes() for path in (again / "stages").iterdir()} == stages
    _assert_same(tmp_path / "local", again, equal)
    answer = _purify("report", url)
    assert (answer.exit_code, answer.stdout.split()) == (0, ["report", f"{url}/report.html"])


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_training_from_a_tar_on_s3_gives_the_same_model(
    noisy_set: NoisySet, s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(noisy_set.images, tree, ignore=shutil.ignore_patterns("pairs"))
    tar = Path(shutil.make_archive(str(tmp_path / "faces"), "tar", tree))
    _upload(noisy_set, s3_bucket, faces=tar)
    monkeypatch.setenv("PURIFY_CACHE", str(tmp_path / "cache"))
    config = _config(noisy_set, "", ingest={"images": []}, train=noisy_set.config(min_steps=120).train.model_dump())
    local = RunRequest(str(tar), str(tmp_path / "local"), config)
    run_request(local, quiet=True)
    url = f"{s3_bucket}/runs/tar"
    run_request(replace(local, source=f"{s3_bucket}/faces.tar", run_folder=url), quiet=True)
    published = _download(url, tmp_path / "published")
    for name in WITH_URI:
        here, there = (pq.read_table(folder / name) for folder in (tmp_path / "local", published))
        assert here.drop_columns("uri").equals(there.drop_columns("uri"))
    for name in ("checkpoint/model.safetensors", "embeddings.parquet", "verdicts.parquet", "class_report.parquet"):
        assert (tmp_path / "local" / "round-1" / name).read_bytes() == (published / "round-1" / name).read_bytes()
    assert not list(published.rglob("resume.safetensors"))


def _purify(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_single_stages_read_and_write_urls(
    noisy_set: NoisySet, embeddings: Path, s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PURIFY_CACHE", str(tmp_path / "cache"))
    _upload(noisy_set, s3_bucket, table=noisy_set.table, vectors=embeddings)
    out = f"{s3_bucket}/out"
    steps = [
        ("ingest", f"{s3_bucket}/table.csv", "--images", f"{s3_bucket}/images", "--out", out, "--json"),
        ("analyze", f"{out}/manifest.parquet", "--embeddings", f"{s3_bucket}/vectors.parquet", "--out", out),
        ("apply", f"{out}/manifest.parquet", "--verdicts", f"{out}/verdicts.parquet", "--out", out),
        ("score", f"{out}/verdicts.parquet", "--truth", f"{s3_bucket}/table.csv"),
    ]
    for step in steps:
        answer = _purify(*step)
        assert answer.exit_code == 0, answer.output
        if "--out" in step:
            assert f"{out}/" in answer.stdout
    published = _download(out, tmp_path / "published")
    assert {path.name for path in published.iterdir()} == {
        *("manifest.parquet", "verdicts.parquet", "class_report.parquet"),
        *("cleaned.parquet", "removed.parquet", "labels.parquet"),
        *("run.json", "growth", "round-1", "stages"),  # analyze leaves a run
    }


def test_mistakes_with_urls_are_told_in_one_message(s3_bucket: str, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("path,label\na.png,a\n")
    out = tmp_path / "out"
    cases = [
        (("ingest", f"{s3_bucket}/none.parquet", "--out", out), f"{s3_bucket}/none.parquet: no such file"),
        (("ingest", table, "--out", "s3://no-such-bucket/out"), "s3://no-such-bucket/out: no such"),
        (("embed", table, "--checkpoint", f"{s3_bucket}/none", "--out", out), f"{s3_bucket}/none: no such"),
        (("run-flow", "--resume", f"{s3_bucket}/runs/x"), "nothing to resume"),
        (("ingest", "s3://K:PASSWORD@b/t.csv", "--out", out), "stored in clear"),
    ]
    for arguments, message in cases:
        answer = _purify(*arguments)
        assert (answer.exit_code, message in answer.stderr) == (2, True), answer.output
        assert "PASSWORD" not in answer.output
    assert not out.exists()


@pytest.mark.slow
def test_missing_credentials_are_told(s3_bucket: str, tmp_path: Path) -> None:
    nobody = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true"}
    arguments = ["score", f"{s3_bucket}/v.parquet", "--truth", f"{s3_bucket}/t.csv"]
    answer = subprocess.run(
        [sys.executable, "-m", "purify", *arguments],
        env={**os.environ, **nobody, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 2
    assert answer.stderr.count("\n") == 1
    assert f"{s3_bucket}/v.parquet: no usable credentials found" in answer.stderr


@pytest.mark.usefixtures("prefect_server")
def test_a_run_that_is_refused_leaves_nothing_at_its_url(s3_bucket: str, noisy_set: NoisySet) -> None:
    url = f"{s3_bucket}/runs/refused"
    config = _config(noisy_set, f"{s3_bucket}/images")
    with pytest.raises(InputError, match=r"nowhere\.csv: no such file"):
        run_request(RunRequest(f"{s3_bucket}/nowhere.csv", url, config), quiet=True)
    run = RunFolder.at(url)
    assert not run.root.exists()
    system, path = fsspec.core.url_to_fs(url)
    system.invalidate_cache()
    assert system.find(path) == []
