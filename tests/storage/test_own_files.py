"""May I remove this?"""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path

import pytest

from purify.storage.integrity import watch
from purify.storage.own_files import (
    ASIDE,
    claim_work,
    discard_scratch,
    folders_in,
    move_aside,
    note_made,
    remove_abandoned,
    remove_made,
    remove_work,
    scratch_path,
)
from tests.killed_writer import left_by_a_killed_writer

PURIFY = Path(__file__).resolve().parents[2] / "purify"
SHARD = re.compile(r"\d+\.npy")


def test_nothing_is_removed_elsewhere() -> None:
    removing = {"unlink", "rmdir", "rmtree", "removedirs"}
    found = []
    for path in sorted([*PURIFY.rglob("*.py"), *PURIFY.with_name("purify_demo").rglob("*.py")]):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and (node.func.attr in removing or ast.unparse(node.func) == "os.remove")
            ):
                found.append(path.relative_to(PURIFY.parent).as_posix())
    assert set(found) == {"purify/storage/own_files.py"}


def test_leftovers_of_dead_processes_are_removed_and_those_of_living_ones_kept(tmp_path: Path) -> None:
    dead, mine = left_by_a_killed_writer(tmp_path, "a.json"), scratch_path(tmp_path / "b.json")
    mine.write_text("being written")
    former = tmp_path / ".partial-0123-c.json"  # of an earlier release, or not ours at all
    former.write_text("?")
    elsewhere = tmp_path / dead.name.replace(dead.name[9:17], "f" * 8)  # of another machine
    elsewhere.write_text("?")
    linked = tmp_path / (dead.name + "-link")
    linked.symlink_to(mine)
    remove_abandoned(folders_in(tmp_path))
    assert not dead.exists()
    assert {path.name for path in tmp_path.iterdir()} == {mine.name, former.name, elsewhere.name, linked.name}
    discard_scratch(mine)
    assert not mine.exists()


def test_only_a_temporary_file_of_this_process_is_discarded(tmp_path: Path) -> None:
    dead = left_by_a_killed_writer(tmp_path, "a.json")
    with pytest.raises(ValueError, match="not a temporary file of this process"):
        discard_scratch(dead)
    with pytest.raises(ValueError, match="not a temporary file of this process"):
        discard_scratch(tmp_path / "table.parquet")


def test_only_what_was_made_here_and_is_still_that_file_is_removed(tmp_path: Path) -> None:
    theirs, own, replaced = tmp_path / "theirs", tmp_path / "own", tmp_path / "replaced"
    for path in (theirs, own, replaced):
        path.write_text(path.name)
    note_made(own)
    note_made(replaced)
    other = tmp_path / "other"
    other.write_text("another process's")
    other.replace(replaced)
    assert [remove_made(path) for path in (theirs, own, replaced)] == [False, True, False]
    assert {path.name for path in tmp_path.iterdir()} == {"theirs", "replaced"}
    folder = tmp_path / "folder"
    folder.mkdir()
    note_made(folder)
    (folder / "x").touch()
    assert not remove_made(folder)


def test_of_a_work_folder_only_the_expected_files_are_removed(tmp_path: Path) -> None:
    work, theirs = tmp_path / "embeddings.shards-1", tmp_path / "embeddings.shards-old"
    claim_work(work)
    claim_work(work)
    theirs.mkdir()
    for folder in (work, theirs):
        (folder / "000.npy").touch()
    (work / "notes.txt").touch()
    for folder in (work, theirs):
        remove_work(folder, SHARD)
    assert (theirs / "000.npy").exists()
    assert not (work / "000.npy").exists()
    assert (work / "notes.txt").exists()
    (work / "notes.txt").unlink()
    remove_work(work, SHARD)
    assert not work.exists()


def test_moving_aside_overwrites_nothing(tmp_path: Path) -> None:
    watch(tmp_path)
    for text in ("one", "two"):
        (tmp_path / "round-1").mkdir(exist_ok=True)
        (tmp_path / "round-1" / "t").write_text(text)
        move_aside(tmp_path, "round-1/t")
    assert [path.read_text() for path in sorted((tmp_path / ASIDE).iterdir())] == ["one", "two"]
    assert not (tmp_path / "round-1" / "t").exists()


def test_long_names_leave_room_for_the_prefix(tmp_path: Path) -> None:
    path = scratch_path(tmp_path / ("\u00e9" * 120 + ".jpg"))
    path.touch()
    assert path.suffix == ".jpg"
    assert len(os.fsencode(path.name)) < 255
    discard_scratch(path)
