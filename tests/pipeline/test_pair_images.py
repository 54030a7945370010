"""Verification pairs of photos: aligned once, and never silently compared by their backgrounds."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from PIL import Image

import purify
from purify.cli import main
from purify.config import AlignConfig, EvaluateConfig, PurifyConfig
from purify.errors import InputError
from purify.faces.packaged_models import faces_installed
from purify.ingest.image_roots import ImageRoots
from purify.pipeline import pair_images as module
from purify.pipeline.forgetting import forget
from purify.pipeline.model_comparison import usable_pairs
from purify.pipeline.pair_images import CROPPED, pair_images
from purify.storage.files import read_json, read_table
from purify.storage.image_bytes import ImageByteReader
from purify.tables.schema import MANIFEST
from tests.detector_models import write_detector, write_photo
from tests.onnx_model import write_linear_onnx
from tests.pipeline.test_face_choice import photo

PEOPLE = ("eve", "fay", "gil")
FACES = Path(os.environ.get("PURIFY_FACES", "../shared/faces"))


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Photos of three people, two with faces at either side of the middle, and pairs of them; fay's last has none."""
    for number, name in enumerate(PEOPLE):
        for k in range(4):
            cells = [] if (name, k) == ("fay", 3) else [(3, 3), (6, 1)]
            write_photo(tmp_path / "pairs" / name / f"{k}.png", cells, seed=10 * number + k)
    lines = [f"{name}/{i}.png,{name}/{j}.png,1" for name in PEOPLE for i, j in ((0, 1), (2, 3))]
    lines += [f"{one}/{k}.png,{other}/{k}.png,0" for one, other in (("eve", "fay"), ("eve", "gil")) for k in range(4)]
    (tmp_path / "pairs.csv").write_text("\n".join(["a,b,same", *lines]))
    return tmp_path / "pairs.csv"


def aligned_config(tmp_path: Path) -> PurifyConfig:
    detector = write_detector(tmp_path / "detector.onnx", "scrfd")
    return PurifyConfig(align=AlignConfig(enabled=True, detector=str(detector), workers=1))


def training_rows(uri: str, **photo: str) -> pa.Table:
    row = {"sample_id": "ada/1.png", "label": "ada", "status": "ok", "uri": uri, **photo}
    return pa.Table.from_pylist([row], schema=MANIFEST)


def test_photos_are_compared_by_their_faces_and_aligned_once(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, roots = aligned_config(tmp_path), ImageRoots([tmp_path / "pairs"])
    manifest = training_rows("file:///crop.jpg", photo_uri="file:///photo.jpg")
    used, counts = usable_pairs(pairs, roots, manifest, config.evaluate)
    faces = pair_images(used, roots, manifest, config, tmp_path / "crops")
    assert faces.faceless == {"fay/3.png"}
    left, counts = faces.usable(used, counts)
    assert (counts["given"], counts["no_face"], counts["used"], counts["same"]) == (14, 2, 12, 5)
    assert counts["given"] == sum(
        counts[name] for name in ("missing", "excluded_identity", "excluded_image", "no_face", "used")
    )
    assert counts["images"] == CROPPED
    assert "warning" not in counts
    assert not {"fay/3.png"} & {*left.a, *left.b}
    with ImageByteReader() as reader:
        for name in {*left.a, *left.b}:
            crop = np.asarray(Image.open(io.BytesIO(reader.read(faces.resolve(name)))))
            assert crop.shape == (112, 112, 3)
            assert crop[72, 56, 0] > 200  # the red face of the middle, at the place of the nose

    def nothing(blocks: object, *_: object, **__: object) -> None:
        raise AssertionError("nothing is to be aligned again")

    monkeypatch.setattr(module, "run_in_processes", nothing)
    assert pair_images(used, roots, manifest, config, tmp_path / "crops") == faces


def test_pairs_without_enough_faces_are_refused(pairs: Path, tmp_path: Path) -> None:
    for path in sorted((tmp_path / "pairs" / "gil").iterdir()):
        write_photo(path, [])
    for path in sorted((tmp_path / "pairs" / "eve").iterdir())[:3]:
        write_photo(path, [])
    config, roots = aligned_config(tmp_path), ImageRoots([tmp_path / "pairs"])
    used, counts = usable_pairs(pairs, roots, training_rows("file:///c.jpg"), config.evaluate)
    faces = pair_images(used, roots, training_rows("file:///c.jpg"), config, tmp_path / "crops")
    with pytest.raises(InputError, match=r"pairs.csv: of the 14 pairs .* 13 have an image without a usable face"):
        faces.usable(used, counts)


def test_photos_beside_crops_are_said_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "pairs").mkdir()
    for k in range(8):
        Image.new("RGB", (90, 60), (20 * k, 9, 9)).save(tmp_path / "pairs" / f"{k}.png")
    lines = [f"{i}.png,{i + 1}.png,{i % 2}" for i in range(7)]
    (tmp_path / "pairs.csv").write_text("\n".join(["a,b,same", *lines]))
    roots, manifest = ImageRoots([tmp_path / "pairs"]), training_rows("file:///crop.jpg")
    used, counts = usable_pairs(tmp_path / "pairs.csv", roots, manifest, EvaluateConfig())
    faces = pair_images(used, roots, manifest, PurifyConfig(), tmp_path / "crops")
    _, counts = faces.usable(used, counts)
    assert "images" not in counts
    assert "look like photos, not like aligned crops of faces (8 of 8 are not square)" in counts["warning"]
    assert "--align" in counts["warning"]
    assert not (tmp_path / "crops").exists()


@pytest.mark.skipif(not (FACES / "lfw112.tar").exists(), reason="needs the face sets (PURIFY_FACES)")
@pytest.mark.skipif(not faces_installed(), reason="needs the extra faces")
def test_crops_are_compared_as_they_are_beside_aligned_photos(tmp_path: Path) -> None:
    folder = tmp_path / "pairs"
    folder.mkdir()
    with tarfile.open(FACES / "lfw112.tar") as tar:
        for k, member in zip(range(12), (m for m in tar if m.isfile()), strict=False):
            (folder / f"{k}.jpg").write_bytes(tar.extractfile(member).read())
    lines = [f"{i}.jpg,{i + 1}.jpg,{i % 2}" for i in range(11)]
    (tmp_path / "pairs.csv").write_text("\n".join(["a,b,same", *lines]))
    roots, manifest = ImageRoots([folder]), training_rows("file:///c.jpg", photo_uri="file:///p.jpg")
    used, _ = usable_pairs(tmp_path / "pairs.csv", roots, manifest, EvaluateConfig())
    faces = pair_images(used, roots, manifest, PurifyConfig(), tmp_path / "crops")
    assert faces.said == {}
    assert faces.resolve("3.jpg") == roots.resolve("3.jpg")


@pytest.mark.slow
def test_a_run_of_photos_is_measured_on_crops_of_the_pairs(pairs: Path, tmp_path: Path) -> None:
    for number, name in enumerate(("ada", "ben", "cem")):
        for k in range(6):
            photo(tmp_path / "photos" / name / f"{k}.png", {(4, 4): name}, seed=100 + 10 * number + k)
    config = aligned_config(tmp_path)
    write_linear_onnx(tmp_path / "lines.onnx", np.random.default_rng(0).normal(size=(3 * 16 * 16, 32)), size=16)
    settings = {
        "ingest": {"images": [str(tmp_path / "pairs"), str(tmp_path / "photos")]},
        "model": {"embedding_dim": 16, "input_size": 32},
        "train": {"threads": 1, "epochs": 1, "min_steps": 40, "batch_size": 8, "precision": "float32"},
        "extractor": {"file": str(tmp_path / "lines.onnx")},
        "rounds": {"most": 1},
        "evaluate": {"pairs": str(pairs), "baselines": ["raw"], "bootstrap": 100},
    }
    config = PurifyConfig.model_validate({**settings, "align": config.align.model_dump()})
    run = purify.run(tmp_path / "photos", tmp_path / "run", config, progress=False).folder
    counts = read_json(run.evaluation)["pairs"]
    assert (counts["images"], counts["no_face"], counts["used"]) == (CROPPED, 2, 12)
    assert "The pairs are of photos" in run.report.read_text()
    before = run.evaluation.read_bytes()
    purify.run(tmp_path / "photos", run.root, config, progress=False)
    assert run.evaluation.read_bytes() == before

    checkpoint, out = run.model("purified") / "checkpoint", tmp_path / "again"
    words = ["evaluate", str(run.manifest), "--model", f"purified={checkpoint}", "--pairs", str(pairs)]
    words += ["--images", str(tmp_path / "pairs"), "--set", f"align.detector={config.align.detector}"]
    words += ["--out", str(out)]
    result = CliRunner().invoke(main, words)  # the manifest says that its rows are faces of photos
    assert result.exit_code == 0, result.output
    assert read_json(out / "evaluation.json")["pairs"]["no_face"] == 2

    crops = run.root / "pair-crops"
    rows = read_table(crops / "manifest.parquet", MANIFEST).to_pylist()
    with ImageByteReader() as reader:
        gone = [reader.read(row["uri"]) for row in rows if row["label"] == "eve"]
    forget(run.root, ["eve"])
    assert len(gone) == 4
    assert not any(crop in path.read_bytes() for path in crops.rglob("*") if path.is_file() for crop in gone)
