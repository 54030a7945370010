"""A source that grows, and a run that is brought up to date; against a real Prefect server."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner

from purify.cli import main
from purify.config import PurifyConfig
from purify.errors import InputError
from purify.models.checkpoint import load_checkpoint
from purify.orchestration.launch import run_request
from purify.pipeline.request import RunRequest, updated_request
from purify.storage.files import read_json, read_table, write_table
from purify.storage.integrity import LEDGER
from purify.storage.run_folder import RunFolder
from purify.tables.schema import CLEANED, MANIFEST, REMOVED, REVIEWS, VERDICTS
from tests.orchestration.scrapes import CLASSES, PER_CLASS, Draw, scrape_config, scraped_pictures

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

RESULTS = ("manifest", "embeddings", "verdicts", "class_report", "cleaned", "removed", "labels")


@dataclass(frozen=True)
class Scrape:
    """A folder that is scraped into, and the run that follows it."""

    source: Path
    run: RunFolder

    def request(self, run: RunFolder | None = None, **grow: object) -> RunRequest:
        return RunRequest(str(self.source), str((run or self.run).root), scrape_config(**grow))

    def update(self, run: RunFolder | None = None, **grow: object) -> dict[str, Any]:
        return run_request(self.request(run, **grow), quiet=True)

    def copy(self, to: Path) -> RunFolder:
        shutil.copytree(self.run.root, to)
        return RunFolder(to)


@pytest.fixture(scope="module")
def draw(draw_stripes: Draw) -> Callable[[Path, int, range], None]:
    return scraped_pictures(draw_stripes)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, draw: Callable, prefect_server: str) -> Scrape:
    """The first run, with two reviews that contradict its verdicts."""
    folder = tmp_path_factory.mktemp("growth")
    scrape = Scrape(folder / "faces", RunFolder(folder / "runs" / "nightly"))
    for label in range(CLASSES):
        draw(scrape.source, label, range(PER_CLASS))
    summary = scrape.update()
    assert summary["update_new"] == summary["update_embedded"] == CLASSES * PER_CLASS
    assert read_json(scrape.run.info)["growth"]["because"] == "first_training"
    verdicts = read_table(scrape.run.verdicts, VERDICTS).to_pylist()
    kept = next(row["sample_id"] for row in verdicts if row["decision"] == "keep")
    gone = next(row["sample_id"] for row in verdicts if row["decision"] != "keep")
    rows = [{"sample_id": kept, "decision": "drop"}, {"sample_id": gone, "decision": "keep"}]
    write_table(pa.Table.from_pylist(rows, schema=REVIEWS), scrape.run.reviews)
    _require_reviews(scrape.update(), scrape.run)
    return scrape


@pytest.fixture(scope="module")
def grown(first: Scrape, draw: Callable, tmp_path_factory: pytest.TempPathFactory) -> tuple[Scrape, RunFolder, dict]:
    """20 new images; the run before, and the summary of the update."""
    before = first.copy(tmp_path_factory.mktemp("before") / "nightly")
    for label in range(CLASSES):
        draw(first.source, label, range(PER_CLASS, PER_CLASS + 5))
    return first, before, first.update()


def _require_reviews(summary: dict[str, Any], run: RunFolder) -> None:
    dropped, kept = read_table(run.reviews, REVIEWS)["sample_id"].to_pylist()
    assert kept in read_table(run.cleaned, CLEANED)["sample_id"].to_pylist()
    removed = {row["sample_id"]: row["reason"] for row in read_table(run.removed, REMOVED).to_pylist()}
    assert removed[dropped] == "reviewed"
    assert summary["reviewed"] == 2


def _files(run: RunFolder) -> dict[str, bytes]:
    return {
        path.relative_to(run.root).as_posix(): path.read_bytes()
        for path in sorted(run.root.rglob("*"))
        if path.is_file() and path != run.info and LEDGER not in path.parts
    }


def _results(run: RunFolder) -> dict[str, bytes]:
    return {name: getattr(run, name).read_bytes() for name in RESULTS}


def test_nothing_new_is_said_and_changes_nothing(first: Scrape, tmp_path: Path) -> None:
    run = first.copy(tmp_path / "nightly")
    before = _files(run)
    summary = first.update(run)
    assert summary["nothing_new"] is True
    assert summary["update_embedded"] == summary["update_new"] == 0
    assert _files(run) == before
    said = read_json(run.info)
    growth = said["growth"]
    assert (growth["because"], growth["finished"], growth["trained"]) == ("nothing_new", True, False)
    assert first.update(run)["nothing_new"] is True
    assert read_json(run.info) | {"flow_run": said["flow_run"]} == said  # each flow run enters its own name


def test_touched_files_are_nothing_new(first: Scrape, tmp_path: Path) -> None:
    run = first.copy(tmp_path / "nightly")
    for path in first.source.rglob("*.png"):
        os.utime(path)
    before = _files(run)
    assert first.update(run)["nothing_new"] is True
    after = _files(run)
    assert {name for name in after if after[name] != before[name]} == {"growth/readings.parquet"}


def test_new_images_alone_are_embedded_and_reviews_hold(grown: tuple[Scrape, RunFolder, dict]) -> None:
    scrape, before, summary = grown
    run, growth = scrape.run, read_json(scrape.run.info)["growth"]
    assert summary["update_embedded"] == growth["embedded"] == growth["new"] == 20
    assert (growth["changed"], growth["gone"], growth["new_since_training"]) == (0, 0, 20)
    assert summary["nothing_new"] is False
    assert (growth["trained"], growth["because"]) == (False, "few_new")
    assert summary["update_models"].startswith("kept: 20 of 116 images")
    _require_reviews(summary, run)
    manifest = read_table(run.manifest, MANIFEST)
    assert manifest.filter(pa.compute.is_in(manifest["sample_id"], read_table(before.manifest, MANIFEST)["sample_id"]))[
        "sha256"
    ].equals(read_table(before.manifest, MANIFEST)["sha256"])
    assert read_table(run.verdicts, VERDICTS)["sample_id"].equals(manifest["sample_id"])
    old, new = (pa.parquet.read_table(folder.embeddings).to_pylist() for folder in (before, run))
    known = {row["sample_id"]: row["embedding"] for row in new}
    assert all(known[row["sample_id"]] == row["embedding"] for row in old)


def test_the_models_are_kept_and_say_of_which_images(grown: tuple[Scrape, RunFolder, dict]) -> None:
    scrape, before, _ = grown
    for folder in (before, scrape.run):
        assert load_checkpoint(folder.round(1).checkpoint).extra["images"] == CLASSES * PER_CLASS
    models = [folder.model("purified") / "checkpoint" / "model.safetensors" for folder in (before, scrape.run)]
    assert models[0].read_bytes() == models[1].read_bytes()
    info = read_json(scrape.run.info)
    assert info["growth"]["trained_on"] == {"round-1": 1, "purified": 1}
    assert [entry["new"] for entry in info["updates"]] == [CLASSES * PER_CLASS, 20]


def test_the_same_command_every_night(grown: tuple[Scrape, RunFolder, dict], tmp_path: Path) -> None:
    scrape = grown[0]
    run = scrape.copy(tmp_path / "nightly")
    command = ["run-flow", str(scrape.source), "--out", str(tmp_path), "--name", "nightly"]
    refused = CliRunner().invoke(main, command)
    assert refused.exit_code == 2
    assert "a run exists already; update it with --update" in refused.output
    done = CliRunner().invoke(main, [*command, "--update", "--json"])
    assert json.loads(done.stdout)["nothing_new"] is True
    assert read_json(run.info)["config"] == scrape_config().model_dump(mode="json")
    named = CliRunner().invoke(main, ["run-flow", "--out", str(tmp_path), "--update"])
    assert (named.exit_code, "--name" in named.output) == (2, True)
    other = CliRunner().invoke(main, ["run-flow", str(tmp_path), *command[2:], "--update"])
    assert (other.exit_code, f"this run is of {scrape.source}" in other.output) == (2, True)


def test_an_update_has_the_configuration_of_the_run_and_what_is_given_anew(
    grown: tuple[Scrape, RunFolder, dict], tmp_path: Path
) -> None:
    run = grown[0].copy(tmp_path / "nightly")
    request = updated_request(
        run.root, source=None, embeddings=None, config_file=None, overrides=["grow.retrain_share=0.5"]
    )
    assert request == grown[0].request(run, retrain_share=0.5)
    file = tmp_path / "purify.toml"
    file.write_text("seed = 8\n")
    request = updated_request(run.root, source=None, embeddings=None, config_file=file, overrides=[])
    assert request.config == PurifyConfig(seed=8)


_KILLED = """
import json, os, signal, sys
from pathlib import Path
from click.testing import CliRunner

from purify.orchestration.launch import run_request

from purify.pipeline.request import RunRequest, updated_request
from purify.config import PurifyConfig
values, when, name = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3]
replace = Path.replace
def replacing(self, target):
    if Path(target).name == name and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    result = replace(self, target)
    if Path(target).name == name:
        os.kill(os.getpid(), signal.SIGKILL)
    return result
Path.replace = replacing
run_request(RunRequest(**{**values, "config": PurifyConfig.model_validate(values["config"])}), quiet=True)
"""


def _kill(request: RunRequest, when: str, name: str, server: str) -> None:
    values = {**vars(request), "config": request.config.model_dump(mode="json")}
    program = [sys.executable, "-c", _KILLED, json.dumps(values), when, name]
    child = subprocess.run(program, env={**os.environ, "PREFECT_API_URL": server}, check=False)
    assert child.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("when", "name"),
    [
        ("after", "manifest.parquet"),
        ("before", "embeddings.parquet"),
        ("after", "embeddings.parquet"),
        ("before", "verdicts.parquet"),
        ("after", "cleaned.parquet"),
    ],
)
def test_killed_in_an_update_and_run_again_gives_the_same_bytes(
    when: str, name: str, grown: tuple[Scrape, RunFolder, dict], tmp_path: Path, prefect_server: str
) -> None:
    scrape, before, _ = grown
    run = RunFolder(tmp_path / "killed")
    shutil.copytree(before.root, run.root)
    _kill(scrape.request(run), when, name, prefect_server)
    scrape.update(run)
    assert _results(run) == _results(scrape.run)
    if (when, name) != ("after", "embeddings.parquet"):  # killed before it could say how many it had embedded
        assert read_json(run.info)["growth"] == read_json(scrape.run.info)["growth"]
    assert not list(run.root.rglob(".partial-*"))


def test_changed_and_removed_images_and_a_new_label(
    grown: tuple[Scrape, RunFolder, dict], draw_stripes: Draw, tmp_path: Path
) -> None:
    """A label that the head does not know: sub-centers are fitted to the embeddings that there are."""
    scrape = grown[0]
    run = scrape.copy(tmp_path / "nightly")
    with _restored(scrape.source):
        rng = np.random.default_rng(9)
        (scrape.source / "label 0" / "003.png").unlink()
        draw_stripes(scrape.source / "label 1" / "004.png", np.pi / CLASSES, rng)
        for k in range(4):
            draw_stripes(scrape.source / "newcomer" / f"{k}.png", 0.4, rng)
        summary = scrape.update(run)
        assert [summary[f"update_{key}"] for key in ("new", "changed", "gone", "embedded")] == [4, 1, 1, 5]
        ids = read_table(run.manifest, MANIFEST)["sample_id"].to_pylist()
        assert "label 0/003.png" not in ids
        verdicts = read_table(run.verdicts, VERDICTS)
        assert verdicts["sample_id"].to_pylist() == ids
        assert "newcomer" in verdicts["label"].to_pylist()
        _require_reviews(summary, run)


def test_a_whole_label_may_leave(grown: tuple[Scrape, RunFolder, dict], tmp_path: Path) -> None:
    scrape = grown[0]
    run = scrape.copy(tmp_path / "nightly")
    with _restored(scrape.source):
        shutil.rmtree(scrape.source / "label 3")
        summary = scrape.update(run)
        assert (summary["update_gone"], summary["update_embedded"]) == (PER_CLASS + 5, 0)
        verdicts = read_table(run.verdicts, VERDICTS)
        assert "label 3" not in {*verdicts["label"].to_pylist(), *verdicts["other_label"].to_pylist()}


def test_most_images_gone_is_refused_and_nothing_changes(grown: tuple[Scrape, RunFolder, dict], tmp_path: Path) -> None:
    scrape = grown[0]
    run = scrape.copy(tmp_path / "nightly")
    before = _files(run)
    with _restored(scrape.source):
        for label in range(3):
            shutil.rmtree(scrape.source / f"label {label}")
        with pytest.raises(InputError, match=r"87 of the 116 usable images .* not mounted.*grow.most_lost"):
            scrape.update(run)
    assert _files(run) == before


def test_the_rule_trains_again_and_a_kill_then_does_not_matter(
    grown: tuple[Scrape, RunFolder, dict], tmp_path: Path, prefect_server: str
) -> None:
    scrape, before, _ = grown
    undisturbed, killed = RunFolder(tmp_path / "undisturbed"), RunFolder(tmp_path / "killed")
    for run in (undisturbed, killed):
        shutil.copytree(before.root, run.root)
    summary = scrape.update(undisturbed, retrain_share=0.1)
    growth = read_json(undisturbed.info)["growth"]
    assert (growth["trained"], growth["because"], growth["embedded"]) == (True, "new_share", 116)
    assert summary["update_models"].startswith("trained: 20 of 116 images (17.2%) are new")
    assert load_checkpoint(undisturbed.round(1).checkpoint).extra["images"] == 116
    assert growth["trained_on"] == {"round-1": 2, "purified": 2}
    assert growth["new_since_training"] == 0
    _kill(scrape.request(killed, retrain_share=0.1), "after", "train.parquet", prefect_server)
    scrape.update(killed, retrain_share=0.1)
    assert _results(killed) == _results(undisturbed)
    assert read_json(killed.info)["growth"] == growth


def test_a_table_with_embeddings_that_both_grow(tmp_path: Path) -> None:
    """Nothing is trained or embedded; everything is judged again."""
    rng, classes = np.random.default_rng(0), np.eye(3, 16)

    def write(rows: int) -> None:
        ids = [f"{k}.jpg" for k in range(rows)]
        lines = [f"{name},label {k % 3}\n" for k, name in enumerate(ids)]
        (tmp_path / "table.csv").write_text("".join(["path,label\n", *lines]))
        vectors = classes[np.arange(rows) % 3] + 0.1 * rng.normal(size=(rows, 16))
        pa.parquet.write_table(pa.table({"path": ids, "embedding": list(vectors)}), tmp_path / "embeddings.parquet")

    run = RunFolder(tmp_path / "run")
    request = RunRequest(
        str(tmp_path / "table.csv"), str(run.root), scrape_config(), embeddings=str(tmp_path / "embeddings.parquet")
    )
    write(60)
    run_request(request, quiet=True)
    write(70)
    summary = run_request(request, quiet=True)
    assert (summary["update_new"], summary["update_embedded"]) == (10, 0)
    assert len(read_table(run.verdicts, VERDICTS)) == 70
    assert run_request(request, quiet=True)["nothing_new"] is True


@contextmanager
def _restored(folder: Path) -> Iterator[None]:
    """Put the folder back as it was, times included."""
    backup = folder.with_name("backup")
    shutil.copytree(folder, backup)
    try:
        yield
    finally:
        shutil.rmtree(folder)
        backup.rename(folder)
