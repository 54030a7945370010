from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from purify.cli import main
from purify.config import PurifyConfig
from purify.config_files import load_config
from purify.errors import InputError
from purify.pipeline.request import run_folder


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0b", "a\nb", "\x1b[2J", "\ud800", "x" * 201, "é" * 101])
def test_a_name_that_is_no_plain_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="expected a plain folder name"):
        run_folder(tmp_path, name)


@pytest.mark.parametrize("name", ["faces", "Zoë 2", "名前", "..a", "a.b"])
def test_plain_names_are_taken(tmp_path: Path, name: str) -> None:
    assert run_folder(tmp_path, name) == tmp_path.resolve() / name


def test_an_empty_place_is_not_the_working_folder(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["run-flow", str(tmp_path), "--out", ""])
    assert result.exit_code == 2
    assert "can't be empty" in result.output


@pytest.mark.parametrize("setting", ["seed", "train.epochs", "analyze.review_budget"])
def test_whole_numbers_are_those_that_json_holds(setting: str) -> None:
    load_config(None, [f"{setting}={2**53 - 1}"])
    with pytest.raises(InputError, match=setting):
        load_config(None, [f"{setting}={2**70}"])
    assert PurifyConfig().seed == 0
