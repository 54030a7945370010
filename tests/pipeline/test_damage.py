"""One flipped byte in any file of a run is named at its next use, and never absorbed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner

from purify.cli.app import main
from purify.errors import PurifyError
from purify.review.session import ReviewSession
from purify.storage.files import read_table
from purify.storage.integrity import LEDGER
from purify.storage.own_files import ASIDE
from purify.storage.run_folder import LOCK, RunFolder
from purify.tables.reviews import update_reviews
from purify.tables.schema import REMOVED, REVIEWS
from tests.small_run import draw_source, update

#: No stage can make these again.
REFUSED = ("run.json", "reviews.parquet")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a source, and a run on it after reviews and an update."""
    folder = tmp_path_factory.mktemp("whole")
    source = draw_source(folder, people=4, images=6)
    run = update(folder)
    review = pa.table([["p0/0.png"], ["drop"], [None], ["me"], [None]], schema=REVIEWS)
    update_reviews(run.reviews, lambda _: review)
    shutil.copytree(folder / "later", source, dirs_exist_ok=True)
    update(folder)
    assert CliRunner().invoke(main, ["apply", str(run.root)]).exit_code == 0
    return folder


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """A copy of the folder, for faults."""
    kept = tmp_path / "kept"
    shutil.copytree(whole, kept, symlinks=True)
    return kept


def _files(run: Path) -> list[str]:
    names = (path.relative_to(run).as_posix() for path in sorted(run.rglob("*")) if path.is_file())
    return [name for name in names if (run / name).stat().st_size and Path(name).name != LOCK]


def _flip(path: Path, where: float) -> None:
    content = bytearray(path.read_bytes())
    content[int(where * (len(content) - 1))] ^= 0x10
    path.write_bytes(content)


def _results(run: Path) -> dict[str, bytes]:
    """Tables, but those that record a former state of the source: a lost one is begun anew from the present one."""
    return {
        name: (run / name).read_bytes()
        for name in _files(run)
        if name.endswith(".parquet") and not name.startswith((LEDGER, ASIDE, "growth", "round-1/train"))
    }


def _each(whole: Path, use: Callable[[RunFolder], list[str]]) -> tuple[list[str], list[str]]:
    """Files whose flipped byte `use` names, and the others."""
    run, named, silent = RunFolder(whole / "run"), [], []
    backup = whole / "backup"
    shutil.copytree(run.root, backup)
    for number, name in enumerate(_files(run.root)):
        _flip(run.root / name, (number * 0.37 + 0.11) % 1)
        try:
            told = use(run)
        except PurifyError as error:
            told = [str(error)]
        (named if any(name in line for line in told) else silent).append(name)
        shutil.rmtree(run.root)
        shutil.copytree(backup, run.root)
    return named, silent


@pytest.mark.slow
def test_resuming_names_every_flipped_byte_and_makes_the_same_files_again(copy: Path) -> None:
    whole = update(copy)  # moved: its paths are others, so it is brought up to date first
    results, source = _results(whole.root), copy

    def resume(run: RunFolder) -> list[str]:
        update(source)
        assert _results(run.root) == results
        told: list[str] = run.read_info()["damage"]
        return told

    named, silent = _each(copy, resume)
    assert not silent
    assert len(named) > 25
    assert set(REFUSED) < set(named)


def test_a_damaged_file_is_moved_aside_and_said_in_the_report(copy: Path) -> None:
    run = update(copy)
    _flip(run.manifest_before, 0.5)
    _flip(run.verdicts, 0.5)
    damaged = run.verdicts.read_bytes()
    update(copy)
    assert (run.root / ASIDE / "round-1~verdicts.parquet.1").read_bytes() == damaged
    assert "was damaged" in run.report.read_text(encoding="utf-8")
    update(copy)
    assert run.read_info()["damage"] == []


@pytest.mark.parametrize("command", ["apply", "report"])
def test_commands_name_the_damaged_files_that_they_use(copy: Path, command: str) -> None:
    def use(run: RunFolder) -> list[str]:
        result = CliRunner().invoke(main, [command, str(run.root)])
        assert not isinstance(result.exception, Exception) or isinstance(result.exception, PurifyError), (
            result.exception
        )
        return [result.output]

    named, silent = _each(copy, use)
    used = {"manifest.parquet", "run.json", "reviews.parquet", "round-1/verdicts.parquet"}
    if command == "apply":
        used |= {"cleaned.parquet", "removed.parquet", "labels.parquet", "stages/apply.json"}
        assert not silent
    else:
        used |= {"round-1/class_report.parquet", "report.html"}
    assert used <= set(named)


def test_the_review_page_refuses_damaged_tables(copy: Path) -> None:
    def use(run: RunFolder) -> list[str]:
        ReviewSession(run, reviewer="me")
        return []

    named, _ = _each(copy, use)
    assert {"manifest.parquet", "reviews.parquet", "round-1/verdicts.parquet", "run.json"} <= set(named)


def test_a_file_of_an_earlier_version_is_judged_by_its_stage(copy: Path) -> None:
    run = update(copy)
    shutil.rmtree(run.root / LEDGER)
    whole = run.cleaned.read_bytes()
    _flip(run.cleaned, 0.5)
    update(copy)
    assert "cleaned.parquet" in " ".join(run.read_info()["damage"])
    assert run.cleaned.read_bytes() == whole


def test_a_lost_manifest_and_half_a_source_are_refused(copy: Path) -> None:
    run = update(copy)
    run.manifest.unlink()
    for person in ("p0", "p1", "p2"):
        shutil.move(copy / "source" / person, copy / person)
    with pytest.raises(PurifyError, match="21 of the 28 usable images"):
        update(copy)
    assert run.reviews.exists()
    assert run.report.exists()


def test_reviews_that_were_laid_into_the_folder_are_checked_from_their_first_use_on(tmp_path: Path) -> None:
    draw_source(tmp_path, people=4, images=6)
    review = pa.table([["p0/0.png"], ["drop"], [None], ["me"], [None]], schema=REVIEWS)
    (tmp_path / "run").mkdir()
    update_reviews(tmp_path / "run" / "reviews.parquet", lambda _: review)
    run = update(tmp_path)
    assert "p0/0.png" in read_table(run.removed, REMOVED)["sample_id"].to_pylist()
    _flip(run.reviews, 0.5)
    with pytest.raises(PurifyError, match=r"reviews.parquet: damaged"):
        update(tmp_path)


def test_an_update_that_was_killed_before_its_last_write_is_closed_and_not_done_again(copy: Path) -> None:
    run = update(copy)
    before, log = _results(run.root), run.read_info()["updates"]
    last = log[-1] | {"finished": False}
    run.update_info(growth=last, updates=log[:-1])
    update(copy)
    info = run.read_info()
    assert info["updates"] == log
    assert info["growth"]["nothing_new"]
    assert _results(run.root) == before
