"""Real faces, whole runs, one person forgotten: a search finds nothing in the run, in the cache, in Prefect's database.

Every kind of trace is searched before, too, and found: a search that can't find says nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from collections import defaultdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from purify.pipeline.forgetting import RECEIPTS
from purify.storage.run_folder import RunFolder
from purify.tables.reviews import update_reviews
from purify.tables.schema import REVIEWS
from tests.orchestration.person_traces import PERSON, files_in, purify_command, traces_of

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

_SETTINGS = {
    "extractor.name": "scratch",
    "model.embedding_dim": 16,
    "model.input_size": 32,
    "train.epochs": 1,
    "train.threads": 1,
    "train.min_steps": 70,
    "train.batch_size": 16,
    "train.margin": 0.0,
    "train.warmup_share": 0.9,
    "train.learning_rate": 0.05,
    "train.parallel": 1,
    "rounds.most": 1,
}


def _write_faces(archive: Path, folder: Path, people: int, images: int) -> list[tuple[Path, bytes]]:
    """The first people with enough images under invented names, one image of each held back: its path and bytes."""
    with tarfile.open(archive) as tar:
        by_name = defaultdict(list)
        for member in tar:
            if member.isfile() and member.name.endswith(".jpg"):
                by_name[member.name.split("/")[1]].append(member)
            if sum(len(files) > images for files in by_name.values()) > people:
                break
        chosen = [files[: images + 1] for files in by_name.values() if len(files) > images][:people]
        later = []
        for number, files in enumerate(chosen):
            for position, member in enumerate(files):
                path = folder / (PERSON if number == 1 else f"p{number}") / f"{position}.jpg"
                content = tar.extractfile(member).read()
                if position == images:
                    later.append((path, content))
                else:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content)
    return later


def test_nothing_of_a_forgotten_person_is_found(faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, home = tmp_path / "cache", Path(os.environ["PREFECT_HOME"])
    monkeypatch.setenv("PURIFY_CACHE", str(cache))
    source, run = tmp_path / "faces", RunFolder(tmp_path / "runs" / "trial")
    later = _write_faces(faces / "lfw112.tar", source, people=15, images=9)
    settings = [word for name, value in _SETTINGS.items() for word in ("--set", f"{name}={value}")]
    purify_command("run-flow", source, "--out", run.root.parent, "--name", "trial", *settings)
    ids = [row["sample_id"] for row in pq.read_table(run.manifest).to_pylist() if row["status"] == "ok"]
    hers = next(name for name in ids if name.startswith(PERSON))
    one, other = (next(name for name in ids if name.startswith(f"p{number}/")) for number in (3, 4))
    decisions = [[hers, other, one], ["drop", "relabel", "keep"], [None, PERSON, None], ["me"] * 3, [None] * 3]
    update_reviews(run.reviews, lambda _: pa.table(decisions, schema=REVIEWS))
    for path, content in later:
        path.write_bytes(content)
    purify_command("run-flow", source, "--out", run.root.parent, "--name", "trial", "--update")
    traces = traces_of(run, source, one)
    everywhere = traces.found_in(files_in(run.root, home))
    assert everywhere.keys() == {"name", "id", "hash", "embedding", "center", "picture"}
    assert {"prefect.db", "report.html"} <= {*everywhere["name"]} & {*everywhere["picture"]}
    shutil.rmtree(source / PERSON)
    (source / one.partition("#")[0]).unlink()
    output = purify_command("forget", PERSON, one, "--run", run.root)
    assert traces.found_in(files_in(run.root, home, cache)) == {}
    receipt = json.loads(next((run.root / RECEIPTS).iterdir()).read_text())
    assert receipt["models_trained_on_them"] == ["retrain", "round-1"]
    assert receipt["people"] == 1
    assert "trains the models again" in output
