"""The records of finished stages: what makes a stage be done again, and what does not."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from purify.pipeline import fingerprint as module
from purify.pipeline.fingerprint import (
    STAGE_VERSIONS,
    fingerprint,
    is_done,
    made_with,
    mark_done,
    stage_of,
    stage_seconds,
)
from purify.storage.files import read_json, write_json
from purify.storage.run_folder import RunFolder

PACKAGE = Path(module.__file__).parents[1]


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    (tmp_path / "run").mkdir()
    return RunFolder(tmp_path / "run")


def _record(run: RunFolder, stage: str) -> Path:
    return run.root / "stages" / f"{stage}.json"


def test_an_input_that_changes_while_a_stage_works_is_done_again(run: RunFolder, tmp_path: Path) -> None:
    """Reviews come whenever people review."""
    given, made = tmp_path / "reviews", run.root / "cleaned"
    given.write_text("one")
    calls = []
    for _ in range(3):
        with stage_of(run, "apply", {"reviews": given}, [made]) as pending:
            if pending:
                calls.append(given.read_text())
                made.write_text(given.read_text())
                if len(calls) == 1:
                    given.write_text("two")
    assert calls == ["one", "two"]
    assert set(stage_seconds(run)) == {"apply"}


def test_a_mark_without_seconds_took_no_time(run: RunFolder) -> None:
    made = run.root / "table"
    made.write_text("rows")
    mark_done(run, "table", {"from": 1}, [made])
    assert is_done(run, "table", {"from": 1})
    assert not is_done(run, "table", {"from": 2})
    assert stage_seconds(run) == {}
    made.write_text("other rows")
    assert not is_done(run, "table", {"from": 1})


def test_a_stage_that_fails_leaves_no_record(run: RunFolder) -> None:
    made = run.root / "verdicts"
    made.write_text("half")
    with pytest.raises(ValueError, match="half way"), stage_of(run, "analyze", {}, [made]):
        raise ValueError("half way")
    assert not is_done(run, "analyze", {})
    assert not _record(run, "analyze").exists()


def test_a_raised_version_does_its_stages_again_and_no_others(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    made = run.root / "made"
    made.write_text("content")
    for stage in ("train-raw", "train-round-2", "embed"):
        mark_done(run, stage, {"seed": 1}, [made])
    before = made_with("embed", {"seed": 1})
    monkeypatch.setitem(STAGE_VERSIONS, "train", STAGE_VERSIONS["train"] + 1)
    assert not is_done(run, "train-raw", {"seed": 1})
    assert not is_done(run, "train-round-2", {"seed": 1})
    assert is_done(run, "embed", {"seed": 1})
    assert made_with("embed", {"seed": 1}) == before
    monkeypatch.setitem(STAGE_VERSIONS, "embed", STAGE_VERSIONS["embed"] + 1)
    assert made_with("embed", {"seed": 1}) != before


def _record_of_the_release_before(run: RunFolder, stage: str, inputs: dict[str, object], made: Path) -> None:
    """As release 0.1.0 wrote them: the digest of the source code beside that of the inputs."""
    digest = hashlib.sha256(made.read_bytes()).hexdigest()
    record = {"inputs": fingerprint(inputs), "code": "0" * 64, "outputs": {made.name: digest}, "seconds": 1.5}
    write_json(_record(run, stage), record)


def test_records_of_the_release_before_are_version_1(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upgrade must not train finished models again."""
    made, inputs = run.root / "model.safetensors", {"table": 7, "seed": 1}
    made.write_text("weights")
    _record_of_the_release_before(run, "train-round-1", inputs, made)
    assert is_done(run, "train-round-1", inputs)
    assert stage_seconds(run) == {"train-round-1": 1.5}
    assert not is_done(run, "train-round-1", {**inputs, "seed": 2})
    made.write_text("other weights")
    assert not is_done(run, "train-round-1", inputs)
    made.write_text("weights")
    monkeypatch.setitem(STAGE_VERSIONS, "train", 2)
    assert not is_done(run, "train-round-1", inputs)


def test_the_inputs_are_hashed_as_the_release_before_did(tmp_path: Path) -> None:
    """Otherwise each of its records would be void."""
    file = tmp_path / "table"
    file.write_text("rows")
    digest = hashlib.sha256(b"rows").hexdigest()
    text = json.dumps({"seed": 1, "table": f"sha256:{digest}"}, sort_keys=True)
    assert fingerprint({"table": file, "seed": 1}) == hashlib.sha256(text.encode()).hexdigest()


def test_a_record_names_its_version(run: RunFolder) -> None:
    made = run.root / "made"
    made.write_text("content")
    mark_done(run, "evaluate", {}, [made])
    assert read_json(_record(run, "evaluate"))["version"] == STAGE_VERSIONS["evaluate"]


_ASK = """
import sys
from pathlib import Path
from purify.pipeline.fingerprint import is_done
from purify.storage.run_folder import RunFolder
print(is_done(RunFolder(Path(sys.argv[1])), "train-round-1", {"seed": 1}))
"""


def test_other_source_text_does_no_stage_again(run: RunFolder, tmp_path: Path) -> None:
    """A copy of the package in which every module of training and models has another text."""
    made = run.root / "made"
    made.write_text("content")
    mark_done(run, "train-round-1", {"seed": 1}, [made])
    for source in PACKAGE.rglob("*.py"):
        copy = tmp_path / "code" / "purify" / source.relative_to(PACKAGE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(source.read_text(encoding="utf-8") + "\n_REWORDED = 'an error reads otherwise'\n")
    answer = subprocess.run(
        [sys.executable, "-P", "-c", _ASK, str(run.root)],
        env={"PYTHONPATH": str(tmp_path / "code")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == "True"
