from __future__ import annotations

from pathlib import Path

import pytest

from purify.config import PurifyConfig
from purify.errors import InputError
from purify.pipeline.request import changed_config, new_run_folder
from purify.pipeline.run import run as purify_run
from purify.storage.files import read_json
from purify.storage.run_folder import RunFolder

CONFIG = PurifyConfig.model_validate({"seed": 4, "train": {"epochs": 9}, "ingest": {"images": ["/data/faces"]}})


def test_changes_replace_single_settings() -> None:
    changes = {"seed": 1, "train": {"learning_rate": 0.5}, "analyze.rule": "paper", "ingest": {"min_size": 20}}
    changed = changed_config(CONFIG, changes)
    assert (changed.seed, changed.train.epochs, changed.train.learning_rate) == (1, 9, 0.5)
    assert (changed.ingest.images, changed.ingest.min_size, changed.analyze.rule) == (["/data/faces"], 20, "paper")
    assert changed_config(CONFIG, {}) == CONFIG


def test_changes_take_every_kind_of_value() -> None:
    roots = ["/data/\N{LATIN SMALL LETTER E WITH ACUTE} \N{GRINNING FACE}", 'a"b']
    changed = changed_config(CONFIG, {"ingest": {"images": roots}, "train": {"ema": None, "nesterov": False}})
    assert changed.ingest.images == roots
    assert (changed.train.ema, changed.train.nesterov) == (None, False)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"train": {"epoch": 3}}, "train.epoch"),
        ({"train": {"epochs": "many"}}, "train.epochs"),
        ({"seed": {"value": 1}}, "seed"),
        ({"ingest": {"images": ["s3://key:secret@bucket/faces"]}}, "would be stored in clear"),
    ],
)
def test_changes_that_cannot_be_are_refused(changes: dict[str, object], word: str) -> None:
    with pytest.raises(InputError, match=word):
        changed_config(CONFIG, changes)


def test_a_run_does_not_lose_its_image_roots(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.root.mkdir()
    run.manifest.write_text("the manifest with its images")
    run.update_info(source="faces.csv", config=CONFIG.model_dump(mode="json"), seed=4)
    (tmp_path / "faces.csv").write_text("path,label\na,A\nb,B\n")
    with pytest.raises(InputError, match=r"image roots /data/faces.*--set 'ingest\.images=\[\"/data/faces\"\]'"):
        purify_run(tmp_path / "faces.csv", run.root, PurifyConfig(seed=1), progress=False)
    assert run.manifest.read_text() == "the manifest with its images"
    assert read_json(run.info)["seed"] == 4


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "a\0b", "/"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="expected a plain folder name"):
        new_run_folder(tmp_path, name)
