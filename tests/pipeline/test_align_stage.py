"""Photos -> faces: the rows and their reasons, resuming, and only what is new."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from purify.config import AlignConfig, PurifyConfig
from purify.embedding.blocks import run_here
from purify.errors import InputError
from purify.images.decoding import decode_rgb
from purify.pipeline import align_processes, stages
from purify.pipeline.align_stage import align_table
from purify.storage.files import read_table, write_table
from purify.storage.image_bytes import ImageByteReader
from purify.storage.run_folder import RunFolder
from purify.tables.manifest import load_manifest
from purify.tables.schema import FACES, MANIFEST
from tests.detector_models import write_detector, write_photo

CELLS = {
    "ada/one.png": [(3, 3)],
    "ada/two.png": [(6, 6), (2, 3)],
    "ada/none.png": [],
    "ben/three.png": [(1, 1), (4, 4), (6, 1)],
    "ben/again.png": [(3, 3)],
}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number, (name, cells) in enumerate(CELLS.items()):
        write_photo(tmp_path / "photos" / name, cells, seed=number)
    (tmp_path / "photos" / "ben" / "broken.png").write_bytes(b"<html>404</html>")
    return tmp_path / "photos"


@pytest.fixture
def config(tmp_path: Path) -> PurifyConfig:
    return with_align(write_detector(tmp_path / "detector.onnx", "scrfd"))


def with_align(detector: Path, **settings: object) -> PurifyConfig:
    align = AlignConfig.model_validate({"enabled": True, "detector": str(detector), "shard_size": 2, **settings})
    return PurifyConfig(align=align)


def aligned(run: RunFolder, photos: Path, config: PurifyConfig) -> list[dict]:
    stages.ingest(run, str(photos), config, decode=True)
    stages.align(run, config, run_blocks=run_here)
    return read_table(run.manifest, MANIFEST).to_pylist()


def contents(run: RunFolder) -> dict[str, bytes]:
    files = [run.manifest, *sorted(run.crops.rglob("*"))]
    return {path.name: path.read_bytes() for path in files if path.is_file()}


def test_every_photo_is_a_row_with_its_face_or_a_reason(photos: Path, config: PurifyConfig, tmp_path: Path) -> None:
    rows = {row["sample_id"]: row for row in aligned(RunFolder(tmp_path / "run"), photos, config)}
    assert set(rows) == {*CELLS, "ben/broken.png"}
    assert {name: row["status"] for name, row in rows.items()} == {
        **dict.fromkeys(CELLS, "ok"),
        "ada/none.png": "no_face",
        "ben/broken.png": "unreadable",
    }
    assert rows["ada/none.png"]["status_reason"].startswith("no_face: ")
    assert rows["ada/none.png"]["faces"] == 0
    three = rows["ben/three.png"]
    assert three["faces"] == 3
    assert three["face_choice"] == "the largest and most central face of 3"
    assert three["box"] == pytest.approx([96, 96, 192, 192], abs=1)  # the one in the middle
    assert np.reshape(three["points"], (5, 2))[2] == pytest.approx([145.5, 145.5], abs=1)
    assert three["photo_uri"].endswith("/photos/ben/three.png")
    assert (three["width"], three["height"]) == (112, 112)
    assert rows["ada/one.png"]["face_choice"] == "the only face"
    assert rows["ada/one.png"]["yaw"] == pytest.approx(0, abs=0.5)


def test_crops_show_the_face_and_are_read_by_their_uri(photos: Path, config: PurifyConfig, tmp_path: Path) -> None:
    rows = aligned(RunFolder(tmp_path / "run"), photos, config)
    with ImageByteReader() as reader:
        for row in rows:
            if row["status"] != "ok":
                continue
            pixels = decode_rgb(reader.read(row["uri"]), 112).astype(int)
            assert pixels[72, 56, 0] > 200  # the red square lies at the nose
            assert pixels[40, 40].max() < 90  # and nothing of it at the eyes


def test_small_and_turned_faces_are_rows_that_say_so(photos: Path, tmp_path: Path) -> None:
    config = with_align(write_detector(tmp_path / "d.onnx", "scrfd"), min_face=97)
    run = RunFolder(tmp_path / "run")
    with pytest.raises(InputError, match=r"no usable face in any of the 6 photos.*leave --align out"):
        aligned(run, photos, config)
    write_photo(photos / "cem" / "large.png", [(3, 3)], scale=8, seed=99)
    rows = {row["sample_id"]: row for row in aligned(run, photos, config)}
    assert rows["cem/large.png"]["status"] == "ok"
    assert rows["ben/three.png"]["status"] == "too_small"
    assert rows["ben/three.png"]["status_reason"] == "small_face: 96 pixels < 97, the largest of 3 faces"
    assert rows["ben/three.png"]["faces"] == 3


def test_all_faces_are_rows(photos: Path, tmp_path: Path) -> None:
    config = with_align(write_detector(tmp_path / "d.onnx", "scrfd"), all_faces=True)
    names = [row["sample_id"] for row in aligned(RunFolder(tmp_path / "run"), photos, config)]
    assert names[names.index("ben/three.png") :][:3] == [
        "ben/three.png",
        "ben/three.png#face-2",
        "ben/three.png#face-3",
    ]
    assert len(names) == len(set(names)) == 6 + 1 + 2


def test_nothing_new_is_nothing_to_do(photos: Path, config: PurifyConfig, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    aligned(run, photos, config)
    before = contents(run)

    def nothing(blocks: object, progress: object) -> None:
        raise AssertionError("nothing is to be aligned")

    assert stages.align(run, config, run_blocks=nothing) is False
    assert contents(run) == before


def test_a_replaced_photo_is_aligned_again_and_no_other(photos: Path, config: PurifyConfig, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    before = {row["sample_id"]: row for row in aligned(run, photos, config)}
    write_photo(photos / "ada" / "one.png", [(5, 5)], seed=50)
    stages.ingest(run, str(photos), config, decode=True)
    seen: list[str] = []

    def watched(blocks: list, progress: object) -> None:
        seen.extend(uri for block in blocks for uri in block.uris)
        run_here(blocks)

    assert stages.align(run, config, run_blocks=watched) is True
    assert [uri.rpartition("/")[2] for uri in seen] == ["one.png"]
    after = {row["sample_id"]: row for row in read_table(run.manifest, MANIFEST).to_pylist()}
    assert {name for name in after if after[name] != before[name]} == {"ada/one.png"}
    assert after["ada/one.png"]["box"] == pytest.approx([128, 128, 224, 224], abs=1)
    known = read_table(run.crops / "faces.parquet", FACES)
    assert before["ada/one.png"]["photo_sha256"] not in known["photo_sha256"].to_pylist()


def test_shards_of_gone_photos_leave_with_them(photos: Path, config: PurifyConfig, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    aligned(run, photos, config)
    stranger = run.crops / "notes.tar"
    stranger.write_bytes(b"mine")
    for name in ("ada/one.png", "ada/two.png", "ada/none.png"):
        (photos / name).unlink()
    before = {path.name for path in run.crops.glob("*.tar")}
    loose = config.model_copy(update={"grow": config.grow.model_copy(update={"most_lost": 1.0})})
    rows = aligned(run, photos, loose)
    assert {row["label"] for row in rows} == {"ben"}
    left = {path.name for path in run.crops.glob("*.tar")}
    assert left < before
    assert stranger.read_bytes() == b"mine"


def test_a_killed_alignment_resumes_to_the_same_bytes(photos: Path, config: PurifyConfig, tmp_path: Path) -> None:
    whole, broken = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "again")
    aligned(whole, photos, config)
    expected = contents(whole)

    def one_block(blocks: list, progress: object) -> None:
        run_here(blocks[:1])
        raise KeyboardInterrupt

    stages.ingest(broken, str(photos), config, decode=True)
    with pytest.raises(KeyboardInterrupt):
        stages.align(broken, config, run_blocks=one_block)
    counts: list[int] = []

    def rest(blocks: list, progress: object) -> None:
        counts.append(len(blocks))
        run_here(blocks)

    stages.align(broken, config, run_blocks=rest)
    assert counts == [2]  # of three
    resumed = contents(broken)
    del resumed["manifest.parquet"], expected["manifest.parquet"]  # they name the run's folder
    assert resumed == expected


def test_two_processes_give_the_same_bytes(photos: Path, config: PurifyConfig, tmp_path: Path) -> None:
    run, other = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "other")
    aligned(run, photos, config)
    stages.ingest(other, str(photos), config, decode=True)
    seen: list[int] = []

    def in_two(blocks: list, progress: object) -> None:
        align_processes.run_in_processes(blocks, lambda done, total, detail="": seen.append(done), workers=2)

    stages.align(other, config, run_blocks=in_two)
    assert seen == [1, 2, 3, 4, 5]
    ours, theirs = contents(run), contents(other)
    del ours["manifest.parquet"], theirs["manifest.parquet"]
    assert ours == theirs


def test_the_error_of_a_process_is_raised_here(photos: Path, config: PurifyConfig, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    stages.ingest(run, str(photos), config, decode=True)
    write_photo(photos / "ben" / "three.png", [(1, 1)], seed=77)  # replaced between reading and alignment
    with pytest.raises(InputError, match=r"three.png: readable at ingest, but not now \(its bytes have changed\)"):
        stages.align(run, config)
    assert not run.manifest.exists()


def test_align_table_writes_a_folder_and_goes_on_from_its_own_manifest(
    photos: Path, config: PurifyConfig, tmp_path: Path
) -> None:
    run, out = RunFolder(tmp_path / "run"), tmp_path / "run"
    plain = PurifyConfig()
    stages.ingest(run, str(photos), plain, decode=True)
    first = align_table(run.manifest, out, config.align)
    assert first["photo_uri"].null_count == 0
    assert align_table(run.manifest, out, config.align).equals(first)
    with pytest.raises(InputError, match="its rows are faces already"):
        align_table(run.manifest, tmp_path / "elsewhere", config.align)


def test_manifests_of_earlier_versions_have_no_faces(tmp_path: Path) -> None:
    fields = [field for field in MANIFEST if field.name not in ("photo_uri", "box", "points", "yaw", "faces")]
    old = pa.schema(fields[:10], metadata=MANIFEST.metadata)
    row = {"sample_id": "a", "uri": "file:///a.jpg", "label": "x", "status": "ok"}
    write_table(pa.Table.from_pylist([row], schema=old), tmp_path / "manifest.parquet")
    for table in (read_table(tmp_path / "manifest.parquet", MANIFEST), load_manifest(tmp_path / "manifest.parquet")):
        assert table.schema.names == MANIFEST.names
        assert table["points"].null_count == 1
        assert table.schema.field("box").type == MANIFEST.field("box").type


def test_exif_orientation_and_other_modes_are_honored(tmp_path: Path, config: PurifyConfig) -> None:
    upright = Image.open(write_photo(tmp_path / "x.png", [(5, 2)]))
    folder = tmp_path / "photos" / "ada"
    folder.mkdir(parents=True)
    exif = Image.Exif()
    exif[274] = 6  # to be turned clockwise
    upright.transpose(Image.Transpose.ROTATE_90).save(folder / "exif.jpg", exif=exif, quality=95)
    upright.convert("CMYK").save(folder / "cmyk.jpg", quality=95)
    upright.resize((1024, 1024), Image.Resampling.NEAREST).save(folder / "large.png")
    rows = {row["sample_id"]: row for row in aligned(RunFolder(tmp_path / "run"), tmp_path / "photos", config)}
    for name, factor in (("ada/exif.jpg", 1), ("ada/cmyk.jpg", 1), ("ada/large.png", 4)):
        assert rows[name]["status"] == "ok", rows[name]
        assert np.array(rows[name]["box"]) / factor == pytest.approx([128, 32, 224, 128], abs=2)


@pytest.mark.slow
def test_children_end_with_their_parent(photos: Path, config: PurifyConfig, tmp_path: Path) -> None:
    """After SIGKILL of the parent no process goes on, nothing is left behind, and the rest comes to the same bytes."""
    code = (
        "import json, sys; from purify.pipeline import stages; from purify.storage.run_folder import RunFolder;"
        "from purify.config import PurifyConfig; run, photos, config = json.loads(sys.argv[1]);"
        "run, config = RunFolder.at(run), PurifyConfig.model_validate(config);"
        "stages.ingest(run, photos, config, decode=True); print('go', flush=True); stages.align(run, config)"
    )
    for number in range(60):
        write_photo(photos / "ada" / f"more{number}.png", [(3, 3)], seed=100 + number)
    values = json.dumps([str(tmp_path / "run"), str(photos), config.model_dump(mode="json")])
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary)}
    parent = subprocess.Popen([sys.executable, "-c", code, values], stdout=subprocess.PIPE, text=True, env=environment)
    assert parent.stdout is not None
    parent.stdout.readline()
    children: list[int] = []
    deadline = time.monotonic() + 60
    while not children and time.monotonic() < deadline:
        found = subprocess.run(["pgrep", "-P", str(parent.pid)], capture_output=True, check=False, text=True)
        children = [int(pid) for pid in found.stdout.split()]
    time.sleep(1)
    parent.kill()
    parent.wait()
    assert children
    while any(Path(f"/proc/{pid}").exists() for pid in children) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{pid}").exists() for pid in children)
    assert [path.name for path in temporary.iterdir() if "purify" in path.name] == []
    killed, whole = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "whole")
    for run in (killed, whole):
        aligned(run, photos, config)
    resumed, expected = contents(killed), contents(whole)
    del resumed["manifest.parquet"], expected["manifest.parquet"]  # they name the run's folder
    assert resumed == expected
