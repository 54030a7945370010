"""Folders that are published to a URL, and fetched on another machine."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

from purify.pipeline.fingerprint import stage_of
from purify.storage import remote
from purify.storage.files import write_json
from purify.storage.locations import Url
from purify.storage.run_folder import RunFolder
from purify.storage.sync import SyncedFolder

Machine = Callable[[str], SyncedFolder]


@pytest.fixture
def url() -> Url:
    return Url("memory", f"{secrets.token_hex(6)}/runs/one")


@pytest.fixture
def machine(url: Url, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """The mirror of one URL on a machine of that name."""

    def mirror(name: str) -> SyncedFolder:
        monkeypatch.setenv("PURIFY_CACHE", str(tmp_path / name))
        return SyncedFolder.of(url)

    return mirror


def _write(mirror: SyncedFolder, **texts: str) -> None:
    for name, text in texts.items():
        path = mirror.folder / name.replace("__", "/").replace("_json", ".json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _published(url: Url) -> dict[str, str]:
    system, root = fsspec.core.url_to_fs(str(url))
    return {name.removeprefix(f"{root}/"): system.cat_file(name).decode() for name in system.find(root)}


def test_finished_files_are_published_and_others_are_not(machine: Machine, url: Url) -> None:
    here = machine("here")
    _write(here, a="1", round_1__b="2", round_1__resume="3")
    (here.folder / "round_1" / "resume.safetensors").write_text("4")
    (here.folder / "embeddings.shards-1-2").mkdir()
    (here.folder / "embeddings.shards-1-2" / "0.npy").write_text("5")
    (here.folder / ".lock").write_text("")
    (here.folder / "round_1" / ".partial-1-b").write_text("6")
    here.publish()
    assert _published(url) == {"a": "1", "round_1/b": "2", "round_1/resume": "3"}
    assert here.shown(here.folder / "round_1" / "b") == f"{url}/round_1/b"
    assert here.shown(here.folder) == str(url)


def test_only_what_changed_is_uploaded_and_records_come_last(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    uploaded: list[str] = []
    upload = remote.upload

    def counting(path: Path, target: Url) -> str:
        uploaded.append(path.name)
        return upload(path, target)

    monkeypatch.setattr(remote, "upload", counting)
    here = machine("here")
    _write(here, stages__a_json="{}", z="1", b="2")
    here.publish()
    assert uploaded == ["b", "z", "a.json"]
    here.publish()
    _write(here, z="3")
    here.publish()
    assert uploaded == ["b", "z", "a.json", "z"]


def test_another_machine_fetches_and_hands_back(machine: Machine, url: Url) -> None:
    here = machine("here")
    _write(here, a="1", b="1")
    here.publish()
    there = machine("there")
    there.pull()
    assert (there.folder / "a").read_text() == "1"
    _write(there, a="22", c="2")
    there.publish()
    here = machine("here")
    _write(here, b="not yet published")
    here.pull()
    assert [(here.folder / name).read_text() for name in "abc"] == ["22", "not yet published", "2"]
    (here.folder / "c").unlink()
    here.pull()
    here.publish()
    assert _published(url) == {"a": "22", "b": "not yet published", "c": "2"}


def test_an_upload_that_fails_is_made_up_for(machine: Machine, url: Url, monkeypatch: pytest.MonkeyPatch) -> None:
    here = machine("here")
    _write(here, a="1", b="2", c="3")
    upload = remote.upload

    def failing(path: Path, target: Url) -> str:
        if path.name == "b":
            raise OSError("no network")
        return upload(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(remote, "upload", failing)
        with pytest.raises(OSError, match="no network"):
            here.publish()
    assert _published(url) == {"a": "1"}
    here.publish()
    assert _published(url) == {"a": "1", "b": "2", "c": "3"}


def test_a_stage_that_another_machine_did_is_not_done_again(machine: Machine, url: Url) -> None:
    for name in ("here", "there"):
        machine(name)
        run = RunFolder.at(url)
        run.pull()
        with stage_of(run, "evaluate", {"x": 1}, [run.evaluation]) as pending:
            assert pending is (name == "here")
            if pending:
                write_json(run.evaluation, {"auc": 1})
    assert set(_published(url)) == {"evaluation.json", "stages/evaluate.json"}
