from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from purify.errors import InputError
from purify.storage.run_folder import RunFolder, alone_in
from tests.killed_writer import left_by_a_killed_writer


def test_a_second_holder_is_refused_and_removes_nothing(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    with run.lock():
        with pytest.raises(InputError, match="another purify process"), RunFolder(run.root).lock():
            pytest.fail("two processes hold one run")
        assert sorted(path.name for path in run.root.iterdir()) == [".hashes", ".lock"]
        run.update_info(source="faces")
    with run.lock():
        pass
    assert run.info.exists()


def refuse_after(run: RunFolder, write: Callable[[], object]) -> None:
    with run.lock():
        write()
        raise InputError("bad input")


def test_a_run_refused_before_its_manifest_leaves_nothing_of_its_own(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    with pytest.raises(InputError, match="bad input"):
        refuse_after(run, lambda: run.update_info(source="faces"))
    assert not run.root.exists()


def test_a_refused_run_leaves_what_others_put_into_its_folder(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    with pytest.raises(InputError, match="bad input"):
        refuse_after(run, lambda: run.reviews.write_text("somebody's work"))
    assert [path.name for path in run.root.iterdir()] == ["reviews.parquet"]


def test_a_run_that_lost_its_manifest_is_left_alone(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.update_info(source="faces")
    run.reviews.write_text("somebody's work")
    with pytest.raises(InputError), run.lock():
        raise InputError("the source is away")
    assert run.info.exists()
    assert run.reviews.exists()


@pytest.mark.parametrize("folder", [".", "round-1", "baselines/raw/checkpoint"])
def test_single_files_are_not_written_into_a_run_in_progress(tmp_path: Path, folder: str) -> None:
    run = RunFolder(tmp_path / "run")
    with run.lock():
        run.update_info(source="faces")
        with pytest.raises(InputError, match="another purify process"), alone_in(run.root / folder):
            pytest.fail("two processes write into one run")
    with alone_in(run.root / folder), pytest.raises(InputError, match="another purify process"), run.lock():
        pytest.fail("two processes write into one run")
    with alone_in(tmp_path / "elsewhere"):
        assert not (tmp_path / "elsewhere").exists()


def test_what_a_killed_process_left_while_another_worked_is_gone_after_it(tmp_path: Path) -> None:
    """Trainings of a killed run end a moment after it, perhaps when it was resumed already."""
    run = RunFolder(tmp_path / "run")
    with run.lock():
        left = left_by_a_killed_writer(run.root, "resume.safetensors")
        assert left.exists()
    assert not left.exists()
