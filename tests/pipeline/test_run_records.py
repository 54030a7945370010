"""Records of a run that were changed, or written by another version: refused by name, never a traceback."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from purify.cli.app import main
from purify.errors import InputError, PurifyError
from purify.pipeline.closing import closing_lines
from purify.pipeline.request import resumed_request
from purify.pipeline.summary import judging_summary, run_summary
from purify.report.run_overview import rounds
from purify.report.run_page import run_page
from purify.storage.integrity import LEDGER
from purify.storage.run_folder import RunFolder
from purify.storage.run_record import RUN_FORMAT
from tests.small_run import draw_source, update

_WRONG: list[Any] = [None, -1, 10**30, 0.5, True, "", "\0", "\ud800", [], [None], {}, {"": None}, [[{}]]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("records")
    draw_source(folder, people=4, images=6)
    run = update(folder)
    shutil.rmtree(run.root / LEDGER)  # as of an earlier version: nothing tells that a file was changed
    return folder


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> RunFolder:
    shutil.copytree(whole / "run", tmp_path / "run")
    return RunFolder(tmp_path / "run")


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Keys to each value of a JSON document."""
    yield place
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from _places(inner, (*place, key))


def _changed(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    changed = deepcopy(document)
    inner = changed
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return changed


def _use(run: RunFolder) -> None:
    closing_lines(run)
    run_summary(run)
    judging_summary(run)
    rounds(run.read_info())
    resumed_request(run.root)


def _is_refused(run: RunFolder) -> bool:
    """Whether the run is refused, for its ``run.json``; any other error fails the test."""
    try:
        _use(run)
    except PurifyError as error:
        return "run.json" in str(error) or pytest.fail(str(error))
    return False


def test_any_value_of_run_json_may_be_wrong(run: RunFolder) -> None:
    info, refused = json.loads(run.info.read_text()), 0
    for number, place in enumerate(_places(info)):
        if place[:1] == ("config",) and number % 4:  # many settings, which the configuration checks itself
            continue
        for value in (_WRONG * 2)[number % len(_WRONG) :][:3]:
            run.info.write_text(json.dumps(_changed(info, place, value)))
            refused += _is_refused(run)
    assert refused > 100


def test_missing_entries_of_run_json_are_refused_or_done_without(run: RunFolder) -> None:
    info = json.loads(run.info.read_text())
    for place in _places(info):
        if place and isinstance(place[-1], str):
            without = deepcopy(info)
            inner = without
            for key in place[:-1]:
                inner = inner[key]
            del inner[place[-1]]
            run.info.write_text(json.dumps(without))
            _is_refused(run)


def test_the_form_of_a_later_release_is_refused(run: RunFolder) -> None:
    info = json.loads(run.info.read_text())
    run.info.write_text(json.dumps({**info, "format": RUN_FORMAT + 1}))
    with pytest.raises(InputError, match="written by a later release"):
        run.read_info()


def test_a_record_of_a_stage_that_cannot_be_read_is_moved_aside(whole: Path) -> None:
    run = RunFolder(whole / "run")
    path = run.root / "stages" / "apply.json"
    record = json.loads(path.read_text())
    for place in _places(record):
        for value in (None, 3, [], {"../../x": "y"}, {"/etc/passwd": "0"}):
            path.write_text(json.dumps(_changed(record, place, value)))
            shutil.rmtree(run.root / LEDGER, ignore_errors=True)
            result = CliRunner().invoke(main, ["apply", str(run.root)])
            assert result.exit_code in (0, 2), result.output
            assert "Traceback" not in result.output
            path.unlink()
    path.write_text("[" * 100_000)
    update(whole)
    assert "stages/apply.json" in " ".join(run.read_info()["damage"])
    assert json.loads(path.read_text())["outputs"] == record["outputs"]


@pytest.mark.parametrize(
    "content",
    ["[]", "null", '{"models": {}}', '{"models": {"raw": {"auc": "high"}}, "pairs": {}, "differences": []}', "{"],
)
def test_another_evaluation_is_refused(run: RunFolder, content: str) -> None:
    run.evaluation.write_text(content)
    with pytest.raises(InputError, match=r"evaluation\.json"):
        run_page(run, [], with_faces=False)
