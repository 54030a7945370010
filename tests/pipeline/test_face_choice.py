"""A run of photos with several people: the face that agrees with its label is cropped in the end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from matplotlib.figure import Figure
from PIL import Image

import purify
from purify.config import PurifyConfig
from purify.pipeline import stages
from purify.pipeline.forgetting import forget
from purify.report import read_run
from purify.report.notebook import came_in, photo_figure
from purify.storage.files import read_json, read_table
from purify.storage.image_bytes import ImageByteReader
from purify.storage.run_folder import RunFolder
from purify.tables.schema import MANIFEST
from tests.detector_models import write_detector, write_photo
from tests.onnx_model import write_linear_onnx

PEOPLE = ("ada", "ben", "cem", "dot")
_SIDE, _PATCH, _BLOCK = 256, 112, 14


def photo(path: Path, faces: dict[tuple[int, int], str], seed: int) -> None:
    """A photo with a red face at each cell, amid a pattern of blue and green blocks by which its person is known."""
    rng = np.random.default_rng(seed)
    picture = np.full((_SIDE + 2 * _PATCH, _SIDE + 2 * _PATCH, 3), 60.0)
    picture[..., 0] = 0
    for (x, y), name in faces.items():
        blocks = np.random.default_rng(list(name.encode())).integers(0, 255, (8, 8, 3))
        blocks[..., 0] = 0
        top, left = (32 * place + 16 + _PATCH - _PATCH // 2 for place in (y, x))
        patch = blocks.repeat(_BLOCK, 0).repeat(_BLOCK, 1)
        picture[top : top + _PATCH, left : left + _PATCH] = patch
        picture[top + 40 : top + 72, left + 40 : left + 72] = (255, 0, 0)
    whole = picture[_PATCH:-_PATCH, _PATCH:-_PATCH] + rng.normal(0, 12, (_SIDE, _SIDE, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(whole.clip(0, 255).astype(np.uint8)).save(path)


@pytest.fixture
def config(tmp_path: Path) -> PurifyConfig:
    write_linear_onnx(tmp_path / "lines.onnx", np.random.default_rng(0).normal(size=(3 * 16 * 16, 32)), size=16)
    detector = write_detector(tmp_path / "detector.onnx", "yunet")
    return PurifyConfig.model_validate(
        {
            "align": {"enabled": True, "detector": str(detector), "workers": 1},
            "extractor": {"file": str(tmp_path / "lines.onnx")},
            "retrain": {"enabled": False},
            "rounds": {"most": 1},
        }
    )


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number, name in enumerate(PEOPLE):
        for k in range(5):
            photo(tmp_path / "photos" / name / f"{k}.png", {(4, 4): name}, seed=10 * number + k)
        # a stranger nearer to the middle of the picture than the person
        group = {(2, 4): f"stranger {number}", (6, 4): name}
        photo(tmp_path / "photos" / name / "group.png", group, seed=500 + number)
    return tmp_path / "photos"


def rows_of(run: RunFolder) -> dict[str, dict]:
    return {row["sample_id"]: row for row in read_table(run.manifest, MANIFEST).to_pylist()}


def test_the_agreeing_face_is_chosen_and_the_manifest_says_why(
    photos: Path, config: PurifyConfig, tmp_path: Path
) -> None:
    result = purify.run(photos, tmp_path / "run", config, progress=False)
    run = RunFolder(tmp_path / "run")
    rows = rows_of(run)
    for name in PEOPLE:
        group = rows[f"{name}/group.png"]
        assert group["face_choice"].startswith("agrees with 5 other photos of its label (cosine ")
        assert (group["box"][0] + group["box"][2]) / 2 == pytest.approx(208, abs=2)
        assert rows[f"{name}/0.png"]["face_choice"] == "the only face"
    assert len(result.cleaned) == 24
    assert read_json(run.info)["counts"]["ok"] == 24


def test_the_choice_stays_when_the_run_is_called_again_and_when_it_was_interrupted(
    photos: Path, config: PurifyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    purify.run(photos, tmp_path / "run", config, progress=False)
    run = RunFolder(tmp_path / "run")
    tables = [run.manifest, run.verdicts, run.embeddings, run.cleaned]
    before = [path.read_bytes() for path in tables]
    purify.run(photos, tmp_path / "run", config, progress=False)
    assert [path.read_bytes() for path in tables] == before

    (tmp_path / "run").rename(tmp_path / "first")
    with monkeypatch.context() as patch:  # right after the choice
        patch.setattr(stages, "embed_manifest", _failing_second_time(stages.embed_manifest))
        with pytest.raises(KeyboardInterrupt):
            purify.run(photos, tmp_path / "run", config, progress=False)
    purify.run(photos, tmp_path / "run", config, progress=False)
    assert [path.read_bytes() for path in tables] == before


def test_the_notebooks_show_photos_with_the_box_and_count_what_came_in(
    photos: Path, config: PurifyConfig, tmp_path: Path
) -> None:
    write_photo(photos / "ada" / "empty.png", [])
    purify.run(photos, tmp_path / "run", config, progress=False)
    run = read_run(tmp_path / "run")
    numbers = dict(came_in(run).itertuples(index=False))
    assert (numbers["one face"], numbers["several faces"], numbers["no face"]) == (20, 4, 1)
    assert numbers["... and of them that of the label's other photos"] == 4
    figure = photo_figure(run, "ada", most=1)
    assert isinstance(figure, Figure)
    shown = {axes.texts[0].get_text().split("\n")[0]: axes for axes in figure.axes}
    assert list(shown) == ["ada/group.png", "ada/empty.png", "ada/0.png"]
    assert "agrees with 5 other photos" in shown["ada/group.png"].texts[0].get_text()
    picture = np.asarray(shown["ada/0.png"].images[0].get_array()).astype(int)
    frame = np.abs(picture[:, :224] - (255, 205, 0)).sum(-1) == 0
    assert 100 < frame.sum() < 3000  # the box of the face
    assert picture[:112, 228:].min() < 100  # beside it the crop,
    assert (picture[112:, 228:] == 255).all()  # and nothing below


def _failing_second_time(function: Callable[..., int]) -> Callable[..., int]:
    calls: list[int] = []

    def wrapped(*values: object, **named: object) -> int:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return function(*values, **named)

    return wrapped


def test_all_faces_and_no_agreement_leave_the_first(photos: Path, config: PurifyConfig, tmp_path: Path) -> None:
    align = config.align.model_copy(update={"agreeing": False})
    purify.run(photos, tmp_path / "run", config.model_copy(update={"align": align}), progress=False)
    group = rows_of(RunFolder(tmp_path / "run"))["ada/group.png"]
    assert group["face_choice"] == "the largest and most central face of 2"
    align = config.align.model_copy(update={"all_faces": True})
    purify.run(photos, tmp_path / "all", config.model_copy(update={"align": align}), progress=False)
    assert len(rows_of(RunFolder(tmp_path / "all"))) == 28


def test_a_forgotten_person_leaves_no_crop_and_no_photo(photos: Path, config: PurifyConfig, tmp_path: Path) -> None:
    purify.run(photos, tmp_path / "run", config, progress=False)
    run = RunFolder(tmp_path / "run")
    known = {name: Path(photos / "ada" / f"{name}.png").read_bytes() for name in ("0", "group")}
    rows, others = rows_of(run), [name for name in rows_of(run) if not name.startswith("ada/")]
    with ImageByteReader() as reader:
        crops = [reader.read(row["uri"]) for row in rows.values() if row["label"] == "ada"]
        kept = {name: reader.read(rows[name]["uri"]) for name in others}
    hashes = [hashlib.sha256(data).hexdigest() for data in (*known.values(), *crops)]
    receipt = forget(run.root, ["ada"])
    assert (receipt.images, receipt.people, receipt.still_in_source) == (6, 1, 6)
    for path in sorted(run.root.rglob("*")):
        if not path.is_file():
            continue
        content = path.read_bytes()
        assert not any(crop in content for crop in crops), path
        if path.suffix == ".parquet":
            content += json.dumps(pq.read_table(path).to_pylist(), default=str).encode()
        assert [word for word in ("ada/", '"ada"', *hashes) if word.encode() in content] == [], path
    with ImageByteReader() as reader:
        assert {name: reader.read(row["uri"]) for name, row in rows_of(run).items()} == kept
