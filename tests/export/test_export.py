"""`purify.export`: bytes and labels in every format, resumption, refusals."""

from __future__ import annotations

import csv
import hashlib
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image

from purify.cli import main
from purify.cli.export import FORMAT_NAMES
from purify.config import IngestConfig
from purify.errors import InputError
from purify.export.export_folder import RECORD
from purify.export.export_job import ShardLimits
from purify.export.export_table import Exported, ExportRequest, export_table
from purify.export.formats import FORMATS, Images
from purify.export.image_stream import Edit
from purify.ingest.ingest import ingest
from purify.storage.recordio import unframe, unpack_image
from purify.tables.class_names import read_class_names
from purify.tables.schema import VERDICTS
from tests.export.conftest import manifest_row, tree, write_manifest
from tests.killed_writer import left_by_a_killed_writer

WITH_IMAGES = [name for name, form in FORMATS.items() if form.images is Images.WRITTEN]


def run_export(table: Path, form: str, out: Path, **values: Any) -> Exported:
    return export_table(ExportRequest(table, form, out, **values))


def labels_of(pictures: Mapping[str, bytes]) -> dict[bytes, str]:
    return {data: name.split("/")[0] for name, data in pictures.items()}


def test_the_command_offers_every_format() -> None:
    assert tuple(FORMATS) == FORMAT_NAMES


def test_folder_round_trip(manifest: Path, pictures: Mapping[str, bytes], tmp_path: Path) -> None:
    done = run_export(manifest, "folder", tmp_path / "out")
    assert (done.exported, done.labels, done.left_out) == (12, 3, {"unreadable": 1})
    assert any("1 unreadable" in note for note in done.notes)
    written = tree(tmp_path / "out")
    del written[RECORD]
    assert written == pictures
    again = ingest(tmp_path / "out", [], IngestConfig())
    before = pq.read_table(manifest).slice(0, 12).sort_by("sample_id")
    columns = ["sample_id", "label", "sha256", "status"]
    assert again.select(columns).sort_by("sample_id").equals(before.select(columns))


def test_webdataset_members(manifest: Path, pictures: Mapping[str, bytes], tmp_path: Path) -> None:
    run_export(manifest, "webdataset", tmp_path / "out", limits=ShardLimits(images=5))
    shards = sorted((tmp_path / "out").glob("*.tar"))
    assert [shard.name for shard in shards] == [f"shard-{number:06d}.tar" for number in range(3)]
    names = read_class_names(tmp_path / "out")
    assert names is not None
    found = {}
    for shard in shards:
        with tarfile.open(shard, "r:") as archive:
            members = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
        for name, data in members.items():
            key, _, suffix = name.partition(".")
            if suffix not in ("cls", "json"):
                about = json.loads(members[f"{key}.json"])
                assert names[members[f"{key}.cls"].decode()] == about["label"]
                found[about["sample_id"]] = (data, about["label"], suffix)
    kinds = {"jpg": "jpg", "jpeg": "jpg", "png": "png", "webp": "webp"}
    assert found == {
        name: (data, name.split("/")[0], kinds[name.rpartition(".")[2]]) for name, data in pictures.items()
    }


def test_webdataset_reads_it(manifest: Path, pictures: Mapping[str, bytes], tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset", reason="webdataset is not installed (extra dev)")
    run_export(manifest, "webdataset", tmp_path / "out", limits=ShardLimits(images=5))
    urls = f"{tmp_path}/out/shard-{{000000..000002}}.tar"
    samples = list(webdataset.WebDataset(urls, shardshuffle=False))
    found = {
        next(s[kind] for kind in ("jpg", "png", "webp") if kind in s): json.loads(s["json"])["label"] for s in samples
    }
    assert found == labels_of(pictures)
    numbers = [sample["cls"] for sample in webdataset.WebDataset(urls, shardshuffle=False).decode()]
    assert sorted(set(numbers)) == [0, 1, 2]


def test_parquet_layout(manifest: Path, pictures: Mapping[str, bytes], tmp_path: Path) -> None:
    run_export(manifest, "parquet", tmp_path / "out", limits=ShardLimits(images=5))
    shards = sorted((tmp_path / "out/data").iterdir())
    assert [shard.name for shard in shards] == [f"images-{number:05d}.parquet" for number in range(3)]
    table = pa.concat_tables(pq.ParquetFile(shard).read() for shard in shards)
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    names = features["label"]["names"]
    assert names == sorted({name.split("/")[0] for name in pictures})
    rows = table.to_pylist()
    assert {row["sample_id"]: row["image"]["bytes"] for row in rows} == pictures
    assert {row["image"]["bytes"]: names[row["label"]] for row in rows} == labels_of(pictures)
    assert rows[0]["image"]["path"] == "0.jpg"


def test_datasets_reads_it(
    pictures: Mapping[str, bytes], tmp_path: Path, write_tree: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets", reason="Hugging Face datasets is not installed")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    root = write_tree(tmp_path / "source", pictures)
    rows = [manifest_row(root, name, data) for name, data in pictures.items()]
    splits = ["my split" if name.startswith("Cem") else "train" for name in pictures]
    table = write_manifest(tmp_path / "manifest.parquet", rows, split=splits)
    run_export(table, "parquet", tmp_path / "out", limits=ShardLimits(images=3))
    found = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {name: len(part) for name, part in found.items()} == {"my_split": 4, "train": 8}
    for part in found.values():
        names = part.features["label"].names
        for row in part.cast_column("image", datasets.Image(decode=False)):
            assert labels_of(pictures)[row["image"]["bytes"]] == names[row["label"]]


def test_rec_is_insightfaces_layout(manifest: Path, pictures: Mapping[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_export(manifest, "rec", out)
    data = (out / "train.rec").read_bytes()
    index = {int(key): int(position) for key, position in map(str.split, (out / "train.idx").open(encoding="ascii"))}
    records = {key: unpack_image(unframe(data[position:])[0]) for key, position in index.items()}
    assert records[0].labels == (13.0, 16.0)
    names = [row["label"] for row in csv.DictReader((out / "labels.csv").open(encoding="utf-8"))]
    assert {records[key].image: names[int(records[key].labels[0])] for key in range(1, 13)} == labels_of(pictures)
    for number in range(3):
        start, stop = map(int, records[13 + number].labels)
        assert {int(records[key].labels[0]) for key in range(start, stop)} == {number}
    listed = [line.rstrip("\n").split("\t") for line in (out / "train.lst").open(encoding="utf-8")]
    assert [pictures[path] for _, path, _ in listed] == [records[key].image for key in range(1, 13)]
    assert (out / "property").read_text() == "3,20,24\n"


def test_rec_is_mxnets_own_file(faces: Path, tmp_path: Path) -> None:
    """The images of a set that MXNet wrote give the same files, byte for byte."""
    sample = faces / "rec_sample"
    data = (sample / "train.rec").read_bytes()
    offsets = [int(line.split()[1]) for line in (sample / "train.idx").open(encoding="ascii")]
    records = [unpack_image(unframe(data[offset:])[0]) for offset in offsets]
    (tmp_path / "source").mkdir()
    rows = []
    for number, record in enumerate(record for record in records if record.image):
        (tmp_path / "source" / f"{number}.jpg").write_bytes(record.image)
        row = manifest_row(tmp_path / "source", f"{number}.jpg", record.image)
        rows.append(row | {"label": f"{record.labels[0]:.0f}", "width": 112, "height": 112})
    run_export(write_manifest(tmp_path / "manifest.parquet", rows), "rec", tmp_path / "out")
    for name in ("train.rec", "train.idx", "property"):
        assert (tmp_path / "out" / name).read_bytes() == (sample / name).read_bytes(), name


@pytest.mark.parametrize("form", ["csv", "lst"])
def test_lists_name_what_the_source_holds(
    form: str, manifest: Path, pictures: Mapping[str, bytes], tmp_path: Path
) -> None:
    run_export(manifest, form, tmp_path / "out")
    names = {}
    if form == "csv":
        rows = csv.DictReader((tmp_path / "out/samples.csv").open(encoding="utf-8", newline=""))
        names = {row["path"]: row["label"] for row in rows}
        again = ingest(tmp_path / "out/samples.csv", [tmp_path / "source"], IngestConfig())
        assert dict(zip(again["sample_id"].to_pylist(), again["sha256"].to_pylist(), strict=True)) == {
            name: hashlib.sha256(data).hexdigest() for name, data in pictures.items()
        }
    else:
        classes = [row["label"] for row in csv.DictReader((tmp_path / "out/labels.csv").open(encoding="utf-8"))]
        lines = [line.rstrip("\n").split("\t") for line in (tmp_path / "out/train.lst").open(encoding="utf-8")]
        assert [int(number) for number, _, _ in lines] == list(range(12))
        names = {path: classes[int(number)] for _, number, path in lines}
    assert names == {name: name.split("/")[0] for name in pictures}


def test_numbers_of_labels_are_those_of_the_table(
    pictures: Mapping[str, bytes], tmp_path: Path, write_tree: Any
) -> None:
    root = write_tree(tmp_path / "source", pictures)
    number = {"Cem": 0, "Ada Lovelace": 3, "B\u00e9la": 1}
    rows = [manifest_row(root, name, data) for name, data in pictures.items()]
    numbers = [number[str(row["label"])] for row in rows]
    table = write_manifest(tmp_path / "cleaned.parquet", rows, label_id=numbers)
    run_export(table, "parquet", tmp_path / "out")
    found = pq.read_table(tmp_path / "out/data/images-00000.parquet")
    assert found["label"].to_pylist() == numbers
    names = json.loads(found.schema.metadata[b"huggingface"])["info"]["features"]["label"]["names"]
    assert names == ["Cem", "B\u00e9la", "(unused 2)", "Ada Lovelace"]
    wrong = write_manifest(tmp_path / "wrong.parquet", rows, label_id=[0] * 12)
    with pytest.raises(InputError, match="label_id"):
        run_export(wrong, "parquet", tmp_path / "out-2")


def test_labels_that_are_numbers_keep_their_order(tmp_path: Path, encode: Any, write_tree: Any) -> None:
    pictures = {f"{number}/1.png": encode(seed=number) for number in range(12)}
    root = write_tree(tmp_path / "source", pictures)
    table = write_manifest(
        tmp_path / "manifest.parquet",
        [manifest_row(root, name, data) for name, data in pictures.items()],
    )
    run_export(table, "lst", tmp_path / "out")
    lines = [line.rstrip("\n").split("\t") for line in (tmp_path / "out/train.lst").open(encoding="utf-8")]
    assert all(path.split("/")[0] == number for _, number, path in lines)


def test_splits_are_kept(pictures: Mapping[str, bytes], tmp_path: Path, write_tree: Any) -> None:
    root = write_tree(tmp_path / "source", pictures)
    rows = [manifest_row(root, name, data) for name, data in pictures.items()]
    splits = [None if number == 0 else ("val" if number % 3 == 0 else "train") for number in range(12)]
    table = write_manifest(tmp_path / "manifest.parquet", rows, split=splits)
    done = run_export(table, "folder", tmp_path / "folder")
    assert "1 rows without a split are exported as 'train'" in done.notes
    written = tree(tmp_path / "folder")
    expected = zip(splits, pictures, strict=True)
    assert written.keys() - {RECORD} == {f"{split or 'train'}/{name}" for split, name in expected}
    run_export(table, "rec", tmp_path / "rec")
    assert {path.name for path in (tmp_path / "rec").glob("*.rec")} == {"train.rec", "val.rec"}
    run_export(table, "webdataset", tmp_path / "webdataset")
    assert {path.name for path in (tmp_path / "webdataset").glob("*.tar")} == {"train-000000.tar", "val-000000.tar"}


@pytest.mark.parametrize("ids", ["names", "keys"])
@pytest.mark.parametrize("form", WITH_IMAGES)
@pytest.mark.parametrize("stop", [1, 5, 9, 12])
def test_an_interrupted_export_is_continued_to_the_same_bytes(
    form: str, stop: int, ids: str, manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if ids == "keys":  # of records, without a suffix
        table = pq.read_table(manifest)
        keys = pa.array([f"train.rec#{row}" for row in range(len(table))])
        pq.write_table(table.set_column(0, table.schema.field(0), keys), manifest)
    monkeypatch.setattr("purify.export.tree_format._RECORDED", 4)
    monkeypatch.setattr("purify.export.rec_format._RECORDED", 4)
    limits = ShardLimits(images=4)

    def interrupt(done: int, total: int, detail: str = "") -> None:
        if done == stop:
            raise KeyboardInterrupt

    whole, parts = tmp_path / "whole" / "set", tmp_path / "parts" / "set"
    run_export(manifest, form, whole, limits=limits)
    with pytest.raises(KeyboardInterrupt):
        export_table(ExportRequest(manifest, form, parts, limits=limits), progress=interrupt)
    left_by_a_killed_writer(parts, "train.tar")
    assert run_export(manifest, form, parts, limits=limits).exported == 12
    assert tree(parts) == tree(whole)
    assert "finished export" in run_export(manifest, form, parts, limits=limits).notes[0]
    assert tree(parts) == tree(whole)


def test_a_folder_that_holds_something_else_is_refused(manifest: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        run_export(manifest, "folder", tmp_path / "full")
    run_export(manifest, "folder", tmp_path / "out")
    with pytest.raises(InputError, match="other rows, or with other options"):
        run_export(manifest, "parquet", tmp_path / "out")


def test_changed_and_missing_images_are_named(manifest: Path, tmp_path: Path) -> None:
    (tmp_path / "source/Cem/0.jpg").write_bytes(b"other")
    with pytest.raises(InputError, match=r"Cem/0\.jpg.*other ones.*ingest the source again"):
        run_export(manifest, "folder", tmp_path / "out")
    (tmp_path / "source/Cem/0.jpg").unlink()
    with pytest.raises(InputError, match=r"Cem/0\.jpg"):
        run_export(manifest, "rec", tmp_path / "out-2")


def test_odd_names_leave_neither_the_folder_nor_each_other(tmp_path: Path, encode: Any, write_tree: Any) -> None:
    data = {f"{number}.png": encode(seed=number) for number in range(6)}
    root = write_tree(tmp_path / "source", data)
    odd = [
        ("../../x.png", ".."),
        ("a/1.png", "a/b"),
        ("b/1.png", "a/b"),
        ("r.rec#1", "c"),
        ("r.rec#1.png", "c"),
        ("x\ty", "d"),
    ]
    rows = [
        manifest_row(root, name, content) | {"sample_id": sample, "label": label}
        for (name, content), (sample, label) in zip(data.items(), odd, strict=True)
    ]
    table = write_manifest(tmp_path / "manifest.parquet", rows)
    done = run_export(table, "folder", tmp_path / "out/set")
    assert any("can't be the names of folders" in note for note in done.notes)
    written = tree(tmp_path / "out")
    assert sorted(written.values()) == sorted([*data.values(), written[f"set/{RECORD}"]])
    assert {name.split("/")[1] for name in written} == {"%2E.", "a%2Fb", "c", "d", RECORD}
    for form in ("webdataset", "parquet"):
        run_export(table, form, tmp_path / form)
    with pytest.raises(InputError, match="tab or a line break"):
        run_export(table, "lst", tmp_path / "lst")


def test_images_are_encoded_anew_only_when_asked(manifest: Path, tmp_path: Path) -> None:
    done = run_export(manifest, "folder", tmp_path / "small", edit=Edit(16))
    assert any("encoded anew" in note for note in done.notes)
    images = [Image.open(path) for path in (tmp_path / "small").rglob("*.jpg")]
    assert {(image.size, image.format) for image in images} == {((16, 16), "JPEG")}
    assert len(images) == 12
    run_export(manifest, "folder", tmp_path / "square", edit=Edit())
    sizes = {Image.open(path).size for path in (tmp_path / "square").rglob("*.jpg")}
    assert sizes == {(side, side) for side in (20, 21, 22, 23)}
    with pytest.raises(InputError, match="holds no images"):
        run_export(manifest, "csv", tmp_path / "csv", edit=Edit())


def verdict(sample_id: str, label: str, decision: str, **values: object) -> dict[str, object]:
    about = {"reason": "near_dominant", "rule": "calibrated/1", "p_clean": 0.9, "p_other": 0.05, "other_label": "Cem"}
    return about | {"sample_id": sample_id, "label": label, "decision": decision} | values


@pytest.fixture
def judged(manifest: Path, pictures: Mapping[str, bytes], tmp_path: Path) -> Path:
    """The manifest in a folder with verdicts on it."""
    rows = [verdict(name, name.split("/")[0], "keep") for name in pictures]
    rows[4] |= {"decision": "relabel", "new_label": "Cem", "p_clean": 0.1, "p_other": 0.8}
    rows[5] |= {"decision": "drop", "p_clean": 0.01, "p_other": 0.02, "reason": "open_set"}
    pq.write_table(pa.Table.from_pylist(rows, schema=VERDICTS), tmp_path / "verdicts.parquet")
    return manifest


def test_fiftyone_samples_carry_the_verdict(judged: Path, pictures: Mapping[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "fiftyone"
    run_export(judged, "fiftyone", out)
    assert "version" not in json.loads((out / "metadata.json").read_text())
    samples = json.loads((out / "samples.json").read_text(encoding="utf-8"))["samples"]
    assert [sample["purify_id"] for sample in samples] == list(pictures)
    assert [(out / sample["filepath"]).read_bytes() for sample in samples] == list(pictures.values())
    relabeled = samples[4]
    assert relabeled["ground_truth"] == {"_cls": "Classification", "label": "Ada Lovelace"}
    assert relabeled["proposed"]["label"] == "Cem"
    assert (relabeled["decision"], round(relabeled["p_clean"], 6)) == ("relabel", 0.1)


def test_label_studio_tasks_carry_the_verdict(judged: Path, pictures: Mapping[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "tasks"
    run_export(judged, "label-studio", out)
    tasks = json.loads((out / "tasks.json").read_text(encoding="utf-8"))
    assert [task["data"]["sample_id"] for task in tasks] == list(pictures)
    assert tasks[0]["data"]["image"] == "/data/local-files/?d=tasks/images/Cem/0.jpg"
    result = tasks[4]["predictions"][0]["result"]
    assert [(item["from_name"], item["value"]) for item in result] == [
        ("decision", {"choices": ["relabel"]}),
        ("new_label", {"text": ["Cem"]}),
    ]
    assert 'name="decision"' in (out / "interface.xml").read_text()


def test_cleanlab_label_issues(judged: Path, pictures: Mapping[str, bytes], tmp_path: Path) -> None:
    run_export(judged, "cleanlab", tmp_path / "out")
    rows = list(csv.DictReader((tmp_path / "out/label_issues.csv").open(encoding="utf-8")))
    names = [row["label"] for row in csv.DictReader((tmp_path / "out/labels.csv").open(encoding="utf-8"))]
    assert [names[int(row["given_label"])] for row in rows] == [name.split("/")[0] for name in pictures]
    assert [place for place, row in enumerate(rows) if row["is_label_issue"] == "True"] == [4, 5]
    assert [names[int(rows[place]["predicted_label"])] for place in (4, 5)] == ["Cem", "Cem"]
    assert float(rows[5]["label_quality"]) == pytest.approx(0.01)


def test_cleanlab_trains_on_the_label_issues(judged: Path, tmp_path: Path) -> None:
    classification = pytest.importorskip("cleanlab.classification", reason="cleanlab is not installed")
    import pandas as pd
    from sklearn.linear_model import LogisticRegression

    run_export(judged, "cleanlab", tmp_path / "out")
    issues = pd.read_csv(tmp_path / "out/label_issues.csv")
    learner = classification.CleanLearning(LogisticRegression())
    learner.fit(np.random.default_rng(0).normal(size=(12, 4)), issues["given_label"].to_numpy(), label_issues=issues)
    assert learner.get_label_issues()["is_label_issue"].sum() == 2


def test_formats_of_verdicts_need_some_and_others_none(judged: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="shows no verdicts"):
        run_export(judged, "folder", tmp_path / "out", verdicts=judged.with_name("verdicts.parquet"))


def test_formats_of_verdicts_need_some(manifest: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--verdicts"):
        run_export(manifest, "cleanlab", tmp_path / "out")
    run_export(manifest, "fiftyone", tmp_path / "fiftyone")  # shows them if there are any


def test_a_users_table_needs_its_images(pictures: Mapping[str, bytes], tmp_path: Path, write_tree: Any) -> None:
    root = write_tree(tmp_path / "source", pictures)
    lines = ["path,label", *(f"{name},{name.split('/')[0]}" for name in pictures)]
    (tmp_path / "faces.csv").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(InputError, match="12 rows have no image"):
        run_export(tmp_path / "faces.csv", "folder", tmp_path / "out")
    run_export(tmp_path / "faces.csv", "folder", tmp_path / "out", images=[root])
    assert tree(tmp_path / "out").keys() - {RECORD} == set(pictures)


def test_the_command(manifest: Path, tmp_path: Path) -> None:
    arguments = ["export", str(manifest), "--format", "webdataset", "--out", str(tmp_path / "out"), "--json"]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"images": 12, "labels": 3, "out": str(tmp_path / "out"), "unreadable": 1}
    assert "1 unreadable" in result.stderr


def test_an_export_from_a_tar(pictures: Mapping[str, bytes], tmp_path: Path, write_tar: Any) -> None:
    archive = write_tar(tmp_path / "faces.tar", pictures)
    found = ingest(archive, [], IngestConfig())
    pq.write_table(found, tmp_path / "manifest.parquet")
    run_export(tmp_path / "manifest.parquet", "folder", tmp_path / "out")
    written = tree(tmp_path / "out")
    del written[RECORD]
    assert written == pictures


def test_what_a_kill_at_the_first_write_leaves_is_no_obstacle(manifest: Path, tmp_path: Path) -> None:
    (out := tmp_path / "out").mkdir()
    left = left_by_a_killed_writer(out, RECORD)
    assert run_export(manifest, "folder", out).exported == 12
    assert not left.exists()
    (other := tmp_path / "other").mkdir()
    (other / ".partial-notes").write_text("mine")
    with pytest.raises(InputError, match="not empty, and not an export"):
        run_export(manifest, "folder", other)
