"""Photos that are given for crops are noticed; crops are not."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from purify.config import IngestConfig, PurifyConfig
from purify.ingest.crop_check import uncropped_warning
from purify.ingest.ingest import ingest
from purify.pipeline import stages
from purify.storage.files import read_json
from purify.storage.run_folder import RunFolder

FACES = Path(os.environ.get("PURIFY_FACES", "/nowhere"))


def images(folder: Path, *, width: int, height: int) -> Path:
    rng = np.random.default_rng(0)
    for number in range(8):
        path = folder / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (height, width, 3)).astype(np.uint8)).save(path)
    return folder


def test_oblong_images_are_photos(tmp_path: Path) -> None:
    manifest = ingest(images(tmp_path / "faces", width=90, height=60), [], IngestConfig())
    warning = uncropped_warning(lambda: [manifest])
    assert warning is not None
    assert "8 of 8 are not square; give --align" in warning


def test_square_images_without_faces_are_left_alone(tmp_path: Path) -> None:
    manifest = ingest(images(tmp_path / "faces", width=60, height=60), [], IngestConfig())
    assert uncropped_warning(lambda: [manifest]) is None


def test_a_run_keeps_the_warning_while_nothing_changes_and_aligned_ones_have_none(tmp_path: Path) -> None:
    source, run = images(tmp_path / "faces", width=90, height=60), RunFolder(tmp_path / "run")
    for _ in range(2):
        stages.ingest(run, str(source), PurifyConfig(), decode=True)
        (warning,) = read_json(run.info)["source_warnings"]
        assert warning.startswith("the images look like photos")
    aligned = PurifyConfig.model_validate({"align": {"enabled": True}})
    stages.ingest(run, str(source), aligned, decode=True)
    assert read_json(run.info)["source_warnings"] == []


@pytest.mark.parametrize(("name", "noticed"), [("lfw_raw_sample.tar", True), ("celebs112.tar", False)])
def test_real_photos_are_noticed_and_real_crops_are_not(name: str, noticed: bool) -> None:
    pytest.importorskip("dlib", reason="the extra faces is not installed")
    if not (FACES / name).is_file():
        pytest.skip(f"needs {name} in PURIFY_FACES")
    from purify.ingest.inspection import Inspections, inspect_blocks
    from purify.ingest.sources import open_source

    listing = open_source(FACES / name, [], IngestConfig()).listing()
    uris = listing.uris[:: max(1, len(listing.uris) // 100)]
    rows = Inspections.of(inspect_blocks(uris, [None] * len(uris), IngestConfig())).rows
    warning = uncropped_warning(lambda: [rows])
    assert (warning is not None) == noticed, warning
