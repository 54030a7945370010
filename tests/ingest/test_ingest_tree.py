"""Folders and tars of ``label/image``."""

from __future__ import annotations

import os
import sys
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purify.config import IngestConfig
from purify.errors import InputError
from purify.ingest import folder_root
from purify.ingest.ingest import Ingested, ingest, ingest_again
from purify.ingest.leftovers import is_hidden
from purify.storage import image_bytes as blobs
from purify.storage.files import write_table
from purify.storage.image_bytes import ImageByteReader
from purify.tables.apply import apply_verdicts
from purify.tables.manifest import load_manifest, ok_rows
from purify.tables.schema import MANIFEST, VERDICTS

Encode = Callable[..., bytes]
Write = Callable[[Path, Mapping[str, bytes]], Path]


def test_a_folder_of_folders(tmp_path: Path, write_tree: Write, encode: Encode, config: IngestConfig) -> None:
    files = {"B b/2.png": encode(20, 30), "A/x.jpg": encode(40, 40, "JPEG"), "B b/10.png": encode(20, 20)}
    manifest = ingest(write_tree(tmp_path / "set", files), [], config)
    assert manifest.schema.equals(MANIFEST, check_metadata=True)
    assert manifest["sample_id"].to_pylist() == ["A/x.jpg", "B b/10.png", "B b/2.png"]
    assert manifest["label"].to_pylist() == ["A", "B b", "B b"]
    assert manifest["true_label"].null_count == 3
    assert manifest["width"].to_pylist() == [40, 20, 20]
    assert manifest["height"].to_pylist() == [40, 20, 30]
    assert set(manifest["status"].to_pylist()) == {"ok"}
    assert manifest["status_reason"].null_count == 3


def test_a_tar_gives_the_same_manifest_as_its_folder(
    tmp_path: Path, write_tree: Write, write_tar: Write, encode: Encode, config: IngestConfig
) -> None:
    files = {"top/B/1.png": encode(seed=1), "top/A/1.png": encode(seed=2), "top/A/bad.jpg": b"no", "top/A/.x": b""}
    folder = ingest(write_tree(tmp_path / "set", files), [], config)
    for prefix in ("", "./"):
        members = {prefix + name: content for name, content in files.items()}
        tar = ingest(write_tar(tmp_path / "set.tar", members), [], config)
        assert tar.drop(["uri"]).equals(folder.drop(["uri"]))
    assert folder["label"].to_pylist() == ["A", "A", "B"]


LABELS = st.text(st.characters(exclude_characters="\0/", exclude_categories=("Cs",)), min_size=1, max_size=8).filter(
    lambda name: name.strip() and not is_hidden(name)
)


@settings(max_examples=25, deadline=None)
@given(counts=st.dictionaries(LABELS, st.integers(1, 3), min_size=1, max_size=5))
def test_labels_and_bytes_survive_any_name(
    counts: dict[str, int],
    tmp_path_factory: pytest.TempPathFactory,
    write_tree: Write,
    write_tar: Write,
    encode: Encode,
) -> None:
    config = IngestConfig(workers=1)
    files = {f"{label}/{i}.png": encode(seed=i) for label, n in counts.items() for i in range(n)}
    root = tmp_path_factory.mktemp("trip")
    sources = [write_tree(root / "set", files), write_tar(root / "set.tar", files)]
    with ImageByteReader() as reader:
        for manifest in (ingest(source, [], config) for source in sources):
            assert manifest["sample_id"].to_pylist() == sorted(files)
            for row in manifest.to_pylist():
                assert row["label"] == row["sample_id"].rpartition("/")[0]
                assert reader.read(row["uri"]) == files[row["sample_id"]]


def test_every_unusable_file_has_a_row_with_the_reason(
    tmp_path: Path, write_tree: Write, encode: Encode, config: IngestConfig
) -> None:
    jpeg = encode(60, 60, "JPEG")
    files = {
        "A/0-good.jpg": jpeg,
        "A/1-cut.jpg": jpeg[: len(jpeg) // 2],
        "A/2-text.jpg": b"this is no image",
        "A/3-empty.jpg": b"",
        "A/4-small.png": encode(9, 9),
        "A/5-notes.txt": b"a sidecar",
        "B/6-bomb.png": encode(200, 200),
        "A/.DS_Store": b"hidden",
        "A/Thumbs.db": b"hidden",
        "README.md": b"not in a label's folder",
    }
    source = write_tree(tmp_path / "set", files)
    (source / "B" / "7-broken.jpg").symlink_to("nowhere")
    os.mkfifo(source / "B" / "8-pipe.jpg")
    manifest = ingest(source, [], config.model_copy(update={"max_pixels": 10_000}))
    rows = {row["sample_id"][2]: row for row in manifest.to_pylist()}
    reasons = {number: row["status_reason"] for number, row in rows.items()}
    assert reasons.pop("0") is None
    assert {number: reason.partition(":")[0] for number, reason in reasons.items()} == {
        "1": "truncated",
        "2": "not_an_image",
        "3": "zero_bytes",
        "4": "too_small",
        "5": "not_an_image",
        "6": "decompression_bomb",
        "7": "not_a_file",
        "8": "not_a_file",
    }
    assert reasons["4"] == "too_small: 9x9 < 16"
    assert [rows[number]["status"] for number in "0148"] == ["ok", "unreadable", "too_small", "unreadable"]
    assert rows["4"]["width"] == 9
    assert rows["1"]["sha256"] is not None
    assert rows["7"]["uri"] is None


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(13, "Permission denied"), "permission_denied"),
        (FileNotFoundError(2, "No such file"), "missing: it was there"),
        (OSError(5, "Input/output error"), "read_error: Input/output error"),
    ],
)
def test_files_that_the_system_does_not_give(
    tmp_path: Path,
    write_tree: Write,
    encode: Encode,
    config: IngestConfig,
    monkeypatch: pytest.MonkeyPatch,
    error: OSError,
    reason: str,
) -> None:
    source = write_tree(tmp_path / "set", {"A/1.png": encode(), "A/2.png": encode()})
    system_open = os.open

    def refuse(path: Path, flags: int) -> int:
        if path.name == "1.png":
            raise error
        return system_open(path, flags)

    monkeypatch.setattr(blobs.os, "open", refuse)
    manifest = ingest(source, [], config)
    assert manifest["status"].to_pylist() == ["unreadable", "ok"]
    assert manifest["status_reason"][0].as_py().startswith(reason)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_are_not_utf8(tmp_path: Path, encode: Encode, config: IngestConfig) -> None:
    folder = os.fsencode(tmp_path) + b"/set/Ren\xe9"
    os.makedirs(folder)
    with open(folder + b"/\xff.png", "wb") as file:
        file.write(encode())
    manifest = ingest(tmp_path / "set", [], config)
    assert manifest["sample_id"].to_pylist() == ["Ren\\xe9/\\xff.png"]
    assert manifest["label"].to_pylist() == ["Ren\\xe9"]
    with ImageByteReader() as reader:
        assert reader.read(manifest["uri"][0].as_py()) == encode()
    with open(folder + rb"/\xff.png", "wb") as file:
        file.write(encode())
    with pytest.raises(InputError, match=r"xff\.png is the name of two files in UTF-8"):
        ingest(tmp_path / "set", [], config)


def test_the_result_does_not_depend_on_the_threads(tmp_path: Path, write_tree: Write, encode: Encode) -> None:
    source = write_tree(tmp_path / "set", {f"{i % 5}/{i}.jpg": encode(seed=i) for i in range(150)})
    calls: list[tuple[int, int]] = []
    single = ingest(
        source, [], IngestConfig(workers=1), progress=lambda done, total, detail="": calls.append((done, total))
    )
    assert ingest(source, [], IngestConfig(workers=4)).equals(single)
    assert calls[-1] == (150, 150)


def _link(source: Path) -> None:
    (source.parent / "other").mkdir()
    (source / "linked").symlink_to(source.parent / "other")


def _link_out(source: Path) -> None:
    (source.parent / "secret.png").write_bytes(b"")
    (source / "A" / "2.png").symlink_to(source.parent / "secret.png")


def _put(source: Path, name: str, content: bytes = b"") -> None:
    path = source / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s: _put(s, " /1.jpg"), "the label, is empty"),
        (lambda s: _put(s, "B/front/1.jpg") or _put(s, "C/front/1.jpg"), "images lie in nested folders; choose"),
        (_link, "linked is a linked folder"),
        (_link_out, r"A/2\.png is a link that leaves the root"),
    ],
)
def test_folders_that_the_user_has_to_mend(
    tmp_path: Path, write_tree: Write, encode: Encode, config: IngestConfig, spoil: Callable[[Path], None], message: str
) -> None:
    source = write_tree(tmp_path / "set", {"A/1.png": encode()})
    spoil(source)
    with pytest.raises(InputError, match=message):
        ingest(source, [], config)


def _ingested(source: Path, config: IngestConfig) -> Ingested:
    return ingest_again(source, [], config, known=None)


def test_all_faults_are_told_at_once(tmp_path: Path, write_tree: Write, encode: Encode, config: IngestConfig) -> None:
    source = write_tree(tmp_path / "set", {"A/1.png": encode(), **{f" /{i}.png": encode() for i in range(5)}})
    _link(source)
    _link_out(source)
    with pytest.raises(InputError) as caught:
        ingest(source, [], config)
    message = str(caught.value)
    assert message.startswith(f"{source}: correct these problems first:")
    assert "linked is a linked folder" in message
    assert "A/2.png is a link that leaves the root" in message
    assert "5 lie in folders whose name, the label, is empty, such as  /0.png,  /1.png,  /2.png; rename" in message


@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_stray_images_are_rows_without_a_label(
    tmp_path: Path, write_tree: Write, write_tar: Write, encode: Encode, config: IngestConfig, kind: str
) -> None:
    files = {"A/1.png": encode(), "B/1.png": encode(seed=1), "stray.png": encode(seed=2), "z.JPG": b"", "list.txt": b""}
    source = write_tree(tmp_path / "set", files) if kind == "folder" else write_tar(tmp_path / "set.tar", files)
    ingested = _ingested(source, config)
    manifest = ingested.manifest
    assert manifest["sample_id"].to_pylist() == ["A/1.png", "B/1.png", "stray.png", "z.JPG"]
    assert manifest["label"].to_pylist() == ["A", "B", "", ""]
    assert manifest["status"].to_pylist() == ["ok", "ok", "no_label", "no_label"]
    assert manifest["status_reason"][2].as_py() == "no_label: in no label folder; move it into one"
    assert ingested.warnings == (
        "2 images lie in no label folder (stray.png, z.JPG) and can't be used: status no_label",
    )
    write_table(manifest, tmp_path / "manifest.parquet")
    assert load_manifest(tmp_path / "manifest.parquet").equals(manifest)
    again = ingest(tmp_path / "manifest.parquet", [source], config)
    assert again["status"].to_pylist() == manifest["status"].to_pylist()
    verdicts = [
        {
            "sample_id": row["sample_id"],
            "label": row["label"],
            "decision": "keep",
            "reason": "near_dominant",
            "rule": "r",
        }
        for row in ok_rows(manifest).to_pylist()
    ]
    purified = apply_verdicts(manifest, pa.Table.from_pylist(verdicts, schema=VERDICTS))
    assert purified.labels["label"].to_pylist() == ["A", "B"]


def test_images_without_any_label_folder_are_refused(
    tmp_path: Path, write_tree: Write, encode: Encode, config: IngestConfig
) -> None:
    source = write_tree(tmp_path / "set", {f"{i}.png": encode(seed=i) for i in range(3)})
    with pytest.raises(
        InputError, match=r"no image lies in a folder of a label; put the images into one folder per label"
    ):
        ingest(source, [], config)


NESTED = ["Anna/2019/1.png", "Anna/2020/2.png", "Bert/2019/3.png"]


def test_the_level_of_nested_labels_is_asked_for(
    tmp_path: Path, write_tree: Write, encode: Encode, config: IngestConfig
) -> None:
    source = write_tree(tmp_path / "set", {name: encode(seed=i) for i, name in enumerate(NESTED)})
    with pytest.raises(InputError) as caught:
        ingest(source, [], config)
    assert "--label-depth 1: 2 labels (Anna, Bert)\n" in str(caught.value)
    assert "--label-depth 2: 2 labels (2019, 2020)" in str(caught.value)
    for depth, labels in ((1, ["Anna", "Anna", "Bert"]), (2, ["2019", "2020", "2019"])):
        manifest = ingest(source, [], config.model_copy(update={"label_depth": depth}))
        assert manifest["sample_id"].to_pylist() == NESTED
        assert manifest["label"].to_pylist() == labels
        assert set(manifest["status"].to_pylist()) == {"ok"}
    with pytest.raises(InputError, match="no image lies in a folder on level 3"):
        ingest(source, [], config.model_copy(update={"label_depth": 3}))


def test_mixed_levels_are_asked_for_and_images_above_the_labels_are_strays(
    tmp_path: Path, write_tree: Write, encode: Encode, config: IngestConfig
) -> None:
    names = ["Anna/1.png", "Bert/2.png", "Bert/old/3.png"]
    source = write_tree(tmp_path / "set", {name: encode(seed=i) for i, name in enumerate(names)})
    with pytest.raises(InputError, match=r"depth 2: 1 label \(old\); 2 images above that level would have none"):
        ingest(source, [], config)
    first = ingest(source, [], config.model_copy(update={"label_depth": 1}))
    assert first["label"].to_pylist() == ["Anna", "Bert", "Bert"]
    second = ingest(source, [], config.model_copy(update={"label_depth": 2}))
    assert second["label"].to_pylist() == ["", "", "old"]
    assert second["status"].to_pylist() == ["no_label", "no_label", "ok"]


def test_files_that_tools_leave_behind_are_no_samples(
    tmp_path: Path, write_tree: Write, write_tar: Write, encode: Encode, config: IngestConfig
) -> None:
    left = [
        "A/@eaDir/1.png/SYNOPHOTO_THUMB_M.jpg", "#recycle/B/2.png", "lost+found/3.png", "A/.thumbnails/4.png",
        "__MACOSX/A/5.png", "A/Thumbs.db", "A/.DS_Store", "A/1.json", "A/1.png.json", "A/1.txt", "A/1.xmp",
    ]  # fmt: skip
    files = {"A/1.png": encode(), "B/1.png": encode(seed=1), **dict.fromkeys(left, encode(seed=2))}
    for source in (write_tree(tmp_path / "set", files), write_tar(tmp_path / "set.tar", files)):
        ingested = _ingested(source, config)
        assert ingested.manifest["sample_id"].to_pylist() == ["A/1.png", "B/1.png"]
        assert ingested.warnings == ()


def test_a_run_inside_the_source_is_skipped_and_told(
    tmp_path: Path, write_tree: Write, write_tar: Write, encode: Encode, config: IngestConfig
) -> None:
    run = {"runs/n/run.json": b"{}", "runs/n/stages/ingest.json": b"{}", "runs/n/thumbnails/x.png": encode()}
    other = {"B/run.json": b"not a run's"}
    files = {"A/1.png": encode(), "B/1.png": encode(seed=1)} | run | other
    for source in (write_tree(tmp_path / "set", files), write_tar(tmp_path / "set.tar", files)):
        ingested = _ingested(source, config)
        assert ingested.manifest["sample_id"].to_pylist() == ["A/1.png", "B/1.png", "B/run.json"]
        assert ingested.warnings == ("inside the source, the folders of purify's own runs were skipped: runs/n",)


def test_files_about_a_set_between_its_root_and_its_labels_are_no_samples(
    tmp_path: Path, write_tree: Write, write_tar: Write, encode: Encode, config: IngestConfig
) -> None:
    """As archives of public sets have them, such as ``lfw/README``."""
    files = {"set/A/1.png": encode(), "set/B/1.png": encode(seed=1), "set/README.txt": b"text", "set/LICENSE": b"text"}
    for source in (write_tree(tmp_path / "set", files), write_tar(tmp_path / "set.tar", files)):
        ingested = ingest_again(source, [], config, known=None)
        assert ingested.manifest["label"].to_pylist() == ["A", "B"]
        assert ingested.warnings == ()


def test_a_folder_that_cannot_be_listed_is_a_row(
    tmp_path: Path, write_tree: Write, encode: Encode, config: IngestConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_tree(tmp_path / "set", {"A/1.png": encode(), "B/1.png": encode(seed=1)})
    scan = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "B":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(folder_root.os, "scandir", refuse)
    manifest = ingest(source, [], config)
    assert manifest["sample_id"].to_pylist() == ["A/1.png", "B/"]
    assert manifest["label"].to_pylist() == ["A", "B"]
    assert manifest["status"].to_pylist() == ["ok", "unreadable"]
    assert manifest["status_reason"][1].as_py() == "permission_denied: the folder can't be listed"


def test_nothing_to_ingest(tmp_path: Path, write_tree: Write, write_tar: Write, config: IngestConfig) -> None:
    (tmp_path / "empty" / "A").mkdir(parents=True)
    with pytest.raises(InputError, match="empty: no images found"):
        ingest(tmp_path / "empty", [], config)
    with pytest.raises(InputError, match=r"empty\.tar: no images found"):
        ingest(write_tar(tmp_path / "empty.tar", {}), [], config)
    with pytest.raises(InputError, match="nowhere: no such file"):
        ingest(tmp_path / "nowhere", [], config)
    source = write_tree(tmp_path / "bad", {"A/1.jpg": b"", "A/2.jpg": b"text", "B/3.jpg": b""})
    with pytest.raises(InputError, match=r"none of its 3 images can be used \(2 zero_bytes, 1 not_an_image\)"):
        ingest(source, [], config)


@pytest.mark.parametrize("name", ["set.jpg", "set"])
def test_unknown_kinds_of_source(tmp_path: Path, config: IngestConfig, name: str) -> None:
    (tmp_path / name).write_bytes(b"content")
    with pytest.raises(InputError, match=f"{name}: unknown kind of source; expected one of these:"):
        ingest(tmp_path / name, [], config)


def test_links_in_a_tar_are_rows_and_never_followed(tmp_path: Path, encode: Encode, config: IngestConfig) -> None:
    (tmp_path / "A").mkdir()
    (tmp_path / "A" / "1.png").write_bytes(encode())
    (tmp_path / "A" / "2.png").symlink_to("/etc/passwd")
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        archive.add(tmp_path / "A", "A")
    manifest = ingest(tmp_path / "set.tar", [], config)
    assert manifest["status"].to_pylist() == ["ok", "unreadable"]
    assert manifest["status_reason"][1].as_py().startswith("not_a_file: a symbolic link")


@pytest.mark.parametrize("top", ["", "faces/"])
def test_split_folders_above_the_labels_are_splits_of_one_set(
    tmp_path: Path, write_tree: Write, write_tar: Write, encode: Encode, config: IngestConfig, top: str
) -> None:
    names = ["train/A/1.png", "train/B/1.png", "validation/A/1.png", "test/C/1.png"]
    files = {top + name: encode(seed=i) for i, name in enumerate(names)}
    for source in (write_tree(tmp_path / "set", files), write_tar(tmp_path / "set.tar", files)):
        rows = {row["sample_id"]: row for row in ingest(source, [], config).to_pylist()}
        assert [rows[top + name]["label"] for name in names] == ["A", "B", "A", "C"]
        assert [rows[top + name]["split"] for name in names] == ["train", "train", "val", "test"]


def test_a_label_depth_at_the_splits_makes_them_labels(
    tmp_path: Path, write_tree: Write, encode: Encode, config: IngestConfig
) -> None:
    files = {"train/A/1.png": encode(seed=1), "test/B/1.png": encode(seed=2)}
    source = write_tree(tmp_path / "set", files)
    manifest = ingest(source, [], config.model_copy(update={"label_depth": 1}))
    assert manifest["label"].to_pylist() == ["test", "train"]
    assert manifest["split"].null_count == 2
    people = write_tree(tmp_path / "people", {"Test/1.png": encode(seed=1), "Ann/1.png": encode(seed=2)})
    assert ingest(people, [], config)["label"].to_pylist() == ["Ann", "Test"]


def test_splits_are_parts_of_one_label_with_other_depths_asked_for(
    tmp_path: Path, write_tree: Write, encode: Encode, config: IngestConfig
) -> None:
    names = ["train/x/A/1.png", "train/y/B/1.png", "val/x/A/1.png"]
    source = write_tree(tmp_path / "set", {name: encode(seed=i) for i, name in enumerate(names)})
    with pytest.raises(InputError, match="choose the level of the labels"):
        ingest(source, [], config)
    manifest = ingest(source, [], config.model_copy(update={"label_depth": 3}))
    assert manifest["label"].to_pylist() == ["A", "B", "A"]
    assert manifest["split"].to_pylist() == ["train", "train", "val"]


def test_sidecars_of_images_are_no_samples(
    tmp_path: Path, write_tree: Write, write_tar: Write, encode: Encode, config: IngestConfig
) -> None:
    files = {f"{label}/{i}.jpg": encode(seed=i, file_format="JPEG") for label in "AB" for i in range(3)}
    beside = {
        name.replace(".jpg", end): b"0" for name in files for end in (".cls", ".json", ".txt", ".xmp", ".face.json")
    }
    for source in (write_tree(tmp_path / "s", files | beside), write_tar(tmp_path / "s.tar", files | beside)):
        assert ingest(source, [], config)["sample_id"].to_pylist() == sorted(files)


def test_an_archive_without_its_end_is_told(
    tmp_path: Path, write_tar: Write, encode: Encode, config: IngestConfig
) -> None:
    path = write_tar(tmp_path / "set.tar", {"A/1.png": encode(seed=1), "B/1.png": encode(seed=2)})
    content = path.read_bytes()
    path.write_bytes(content.rstrip(b"\0") + bytes(-len(content.rstrip(b"\0")) % 512))
    ingested = ingest_again(path, [], config, known=None)
    assert len(ingested.manifest) == 2
    assert "has no end mark, so it may have been cut off" in ingested.warnings[0]
