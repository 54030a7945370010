"""RecordIO files as sources, whole and damaged, with labels inside and beside them."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purify.config import IngestConfig
from purify.errors import InputError
from purify.ingest.ingest import ingest, ingest_again
from purify.storage.image_bytes import ImageByteReader
from purify.storage.record_index import read_record_index
from purify.storage.recordio import MAGIC, ImageRecord, frame, index_line, insightface_records, pack_image

Encode = Callable[..., bytes]


def write_rec(
    folder: Path, records: Sequence[bytes], *, keys: Sequence[int] | None = None, name: str = "train"
) -> Path:
    """Write framed records and, unless `keys` is empty, their index."""
    folder.mkdir(parents=True, exist_ok=True)
    starts = np.cumsum([0, *map(len, records)])
    if keys is None or len(keys):
        chosen = range(len(records)) if keys is None else keys
        lines = (index_line(key, start) for key, start in zip(chosen, starts, strict=False))
        (folder / f"{name}.idx").write_text("".join(lines))
    path = folder / f"{name}.rec"
    path.write_bytes(b"".join(records))
    return path


def image_record(image: bytes, *labels: float, number: int = 0) -> bytes:
    return frame(pack_image(ImageRecord(labels or (0.0,), number, image)))


def contents(manifest: pa.Table) -> list[bytes]:
    with ImageByteReader() as reader:
        return [reader.read(uri) for uri in manifest["uri"].to_pylist()]


def columns(manifest: pa.Table, *names: str) -> list[tuple]:
    return list(zip(*(manifest[name].to_pylist() for name in names), strict=True))


def test_mxnets_own_file(faces: Path, config: IngestConfig) -> None:
    folder = faces / "rec_sample"
    manifest = ingest(folder, [], config)
    listed = [line.split("\t") for line in (folder / "train.lst").read_text().splitlines()]
    assert columns(manifest, "sample_id", "label", "status") == [
        (f"train.rec#{number}", label, "ok") for number, (_, _, label) in enumerate(listed, start=1)
    ]
    assert all(image[:2] == b"\xff\xd8" and image.rstrip(b"\0")[-2:] == b"\xff\xd9" for image in contents(manifest))
    assert ingest(folder / "train.rec", [], config).equals(manifest)


@pytest.fixture
def people(encode: Encode) -> list[tuple[int, bytes]]:
    return [(label, encode(seed=10 * label + k, file_format="JPEG")) for label in range(3) for k in range(4)]


@pytest.fixture
def insightface(tmp_path: Path, people: list[tuple[int, bytes]]) -> Path:
    """A folder in InsightFace's layout."""
    write_rec(tmp_path / "set", [record for _, record in insightface_records(people, [4, 4, 4])])
    (tmp_path / "set" / "property").write_text("3,24,24\n")
    return tmp_path / "set"


@pytest.mark.parametrize("index", ["whole", "missing", "empty", "of another file", "no index"])
def test_without_a_usable_index_the_records_are_found_all_the_same(
    insightface: Path, people: list[tuple[int, bytes]], config: IngestConfig, index: str
) -> None:
    path = insightface / "train.idx"
    match index:
        case "missing":
            path.unlink()
        case "empty":
            path.write_text("")
        case "of another file":
            path.write_text("0\t0\n1\t44\n2\t88\n")
        case "no index":
            path.write_text("faces\n")
    ingested = ingest_again(insightface, [], config, known=None)
    manifest = ingested.manifest
    assert columns(manifest, "sample_id", "label") == [
        (f"train.rec#{number}", str(label)) for number, (label, _) in enumerate(people, start=1)
    ]
    assert contents(manifest) == [image for _, image in people]
    assert bool(ingested.warnings) == (index in ("empty", "of another file", "no index"))


def test_an_index_may_name_a_part_of_the_records_in_any_order(
    insightface: Path, people: list[tuple[int, bytes]], config: IngestConfig
) -> None:
    lines = (insightface / "train.idx").read_text().splitlines(keepends=True)
    (insightface / "train.idx").write_text("".join(lines[:0:-2]))
    manifest = ingest(insightface, [], config)
    assert contents(manifest) == [image for number, (_, image) in enumerate(people, start=1) if number % 2]


def test_im2recs_form_has_no_header_record(tmp_path: Path, encode: Encode, config: IngestConfig) -> None:
    images = [encode(seed=seed) for seed in range(4)]
    labels = [(7.0,), (2.0, 0.5), (7.0, 1.0, 3.0), (2.0,)]
    records = [image_record(image, *label) for image, label in zip(images, labels, strict=True)]
    path = write_rec(tmp_path, records, keys=[30, 10, 20, 40])
    manifest = ingest(path, [], config)
    assert columns(manifest, "sample_id", "label") == [
        ("train.rec#30", "7"),
        ("train.rec#10", "2"),
        ("train.rec#20", "7"),
        ("train.rec#40", "2"),
    ]
    assert contents(manifest) == images


def test_records_in_several_parts(tmp_path: Path, encode: Encode, config: IngestConfig) -> None:
    images = [encode() + MAGIC * 3, encode() + b"x" + MAGIC, encode() + bytes(-len(encode()) % 4) + MAGIC + b"12345"]
    records = [image_record(image, float(number)) for number, image in enumerate(images)]
    assert any(record[4:8] != (len(record) - 8).to_bytes(4, "little") for record in records)
    for keys in (None, []):
        manifest = ingest(write_rec(tmp_path / str(keys), records, keys=keys), [], config)
        assert manifest["label"].to_pylist() == ["0", "1", "2"]
        assert contents(manifest) == images


LISTS = {
    "path and label, line by line": ("train.txt", lambda k, who: f"{who}/{k}.jpg\t{who}"),
    "key and path (DCFace)": ("list.txt", lambda k, who: f"{k}\t{who}/{k}.jpg"),
    "key, path and label (CVLface)": ("train.tsv", lambda k, who: f"{k}\t{who}/{k}.jpg\t{who}"),
    "aligned, path and label (InsightFace)": ("train.lst", lambda k, who: f"1\tx/{k}.jpg\t{who}"),
    "key, label and path (im2rec)": ("train.lst", lambda k, who: f"{k}\t{who}.000000\tx/{k}.jpg"),
    "key and label, with commas": ("labels.csv", lambda k, who: f"{k},{who}"),
}


@pytest.mark.parametrize("form", LISTS)
def test_labels_from_a_list_beside(tmp_path: Path, encode: Encode, config: IngestConfig, form: str) -> None:
    images = [encode(seed=seed) for seed in range(6)]
    path = write_rec(tmp_path, [image_record(image, number=number) for number, image in enumerate(images)])
    name, line = LISTS[form]
    people = ["31", "31", "8", "8", "8", "5"]
    (tmp_path / name).write_text("".join(line(k, who) + "\n" for k, who in enumerate(people)))
    manifest = ingest(path, [], config)
    assert manifest["label"].to_pylist() == people
    assert contents(manifest) == images


def test_classes_are_counted_against_the_property(insightface: Path, config: IngestConfig) -> None:
    assert ingest_again(insightface, [], config, known=None).warnings == ()
    (insightface / "property").write_text("4,24,24")
    (warning,) = ingest_again(insightface, [], config, known=None).warnings
    assert "holds 3 classes, but the file property beside it says 4" in warning
    (insightface / "property").write_bytes(b"\xff")
    assert ingest_again(insightface, [], config, known=None).warnings == ()


def test_labels_in_the_records_come_before_a_list(insightface: Path, config: IngestConfig) -> None:
    (insightface / "train.lst").write_text("".join(f"1\tx/{k}.jpg\t9\n" for k in range(12)))
    assert set(ingest(insightface, [], config)["label"].to_pylist()) == {"0", "1", "2"}


def test_one_label_for_all_is_doubted(tmp_path: Path, encode: Encode, config: IngestConfig) -> None:
    path = write_rec(tmp_path, [image_record(encode(seed=seed)) for seed in range(3)])
    (tmp_path / "list.txt").write_text("a\tb\n")  # a list of one image doesn't fit
    ingested = ingest_again(path, [], config, known=None)
    assert ingested.manifest["label"].to_pylist() == ["0", "0", "0"]
    assert "all 3 images have the label 0" in ingested.warnings[0]


def test_labels_that_are_no_class_numbers(tmp_path: Path, encode: Encode, config: IngestConfig) -> None:
    labels = [3.0, 0.25, -1.0, float("nan"), float("inf")]
    path = write_rec(tmp_path, [image_record(encode(seed=n), label) for n, label in enumerate(labels)])
    manifest = ingest(path, [], config)
    assert manifest["status"].to_pylist() == ["ok"] + ["no_label"] * 4
    assert "0.25, is no class number" in manifest["status_reason"][1].as_py()


def test_several_files_in_a_folder_are_splits(tmp_path: Path, encode: Encode, config: IngestConfig) -> None:
    for seed, name in enumerate(("train", "val")):
        write_rec(tmp_path, [image_record(encode(seed=2 * seed + n), float(n)) for n in range(2)], name=name)
    assert columns(ingest(tmp_path, [], config), "sample_id", "split") == [
        ("train.rec#0", "train"),
        ("train.rec#1", "train"),
        ("val.rec#0", "val"),
        ("val.rec#1", "val"),
    ]


def test_a_cut_file_keeps_its_whole_records(
    insightface: Path, people: list[tuple[int, bytes]], config: IngestConfig
) -> None:
    data = (insightface / "train.rec").read_bytes()
    (insightface / "train.rec").write_bytes(data[: len(data) // 2 + 1])
    ingested = ingest_again(insightface, [], config, known=None)
    rows = columns(ingested.manifest, "sample_id", "label", "status", "sha256")
    whole = [row for row in rows if row[2] == "ok"]
    assert len(whole) in (5, 6)
    assert [row[:2] for row in whole] == [(f"train.rec#{n}", str(people[n - 1][0])) for n in range(1, len(whole) + 1)]
    assert [row[0] for row in rows[len(whole) :]] == [f"train.rec#{n}" for n in range(len(whole) + 1, 13)]
    assert {row[2] for row in rows[len(whole) :]} == {"unreadable"}
    assert "damaged or cut off" in ingested.warnings[0]
    (insightface / "train.idx").unlink()
    with pytest.raises(InputError, match=r"cut off after [67] whole records.*get it anew, or put its \.idx beside it"):
        ingest(insightface, [], config)


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "empty file"), (b"JPEG" * 9, "not a RecordIO file"), (MAGIC, "not a RecordIO file")]
)
def test_other_files(tmp_path: Path, config: IngestConfig, content: bytes, message: str) -> None:
    (tmp_path / "train.rec").write_bytes(content)
    for source in (tmp_path, tmp_path / "train.rec"):
        with pytest.raises(InputError, match=message):
            ingest(source, [], config)


def test_short_records_are_damaged(tmp_path: Path, encode: Encode, config: IngestConfig) -> None:
    records = [
        image_record(encode(), 1.0),
        frame(b""),
        frame(b"short"),
        frame(MAGIC + b"x"),
        image_record(encode(), 2.0),
    ]
    records += [frame((9).to_bytes(4, "little") + bytes(24)), frame((9).to_bytes(4, "little") + bytes(24) + MAGIC)]
    for keys in (None, []):
        manifest = ingest(write_rec(tmp_path / str(keys), records, keys=keys), [], config)
        assert manifest["status"].to_pylist() == ["ok", *["unreadable"] * 3, "ok", *["unreadable"] * 2]


@settings(max_examples=150)
@given(data=st.data())
def test_a_flipped_bit_gives_no_wrong_row(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory, encode: Encode
) -> None:
    """The rows have their own labels and bytes, whatever bit of a frame is flipped; or the file is refused."""
    folder = tmp_path_factory.mktemp("flipped")
    images = {k: encode(seed=k) for k in range(5)}
    records = [image_record(images[k], float(k + 3), number=k) for k in range(5)]
    path = write_rec(folder, records, keys=data.draw(st.sampled_from([None, []])))
    content = bytearray(path.read_bytes())
    start = sum(map(len, records[: data.draw(st.integers(0, 4))]))
    bit = data.draw(st.integers(0, 8 * 8 - 1))  # of the magic number and the length
    content[start + bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    try:
        manifest = ingest(path, [], IngestConfig(workers=1))
    except InputError:
        return
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for sample_id, label, status, digest in columns(manifest, "sample_id", "label", "status", "sha256"):
        number = int(sample_id.partition("#")[2])
        if status == "ok":
            assert (int(label), digest) == (number + 3, hashlib.sha256(images[number]).hexdigest())


def test_a_record_that_changes_between_listing_and_reading(insightface: Path, config: IngestConfig) -> None:
    uris = ingest(insightface, [], config)["uri"].to_pylist()
    (insightface / "train.rec").write_bytes(b"other" * 40)
    with ImageByteReader() as reader:
        with pytest.raises(OSError, match="damaged record: no record starts here"):
            reader.read(uris[0])
        with pytest.raises(OSError, match="damaged record: the data ends"):
            reader.read(uris[-1])
        with pytest.raises(InputError, match="no record 'x'"):
            reader.read(f"rec://x::file://{insightface}/train.rec")


def test_a_label_unlike_those_of_its_identity_is_damaged(
    tmp_path: Path, people: list[tuple[int, bytes]], encode: Encode, config: IngestConfig
) -> None:
    many = [(label, encode(seed=100 * label + k)) for label in range(12) for k in range(3)]
    records = [record for _, record in insightface_records(many, [3] * 12)]
    records[5] = image_record(many[4][1], 9.0, number=5)
    ingested = ingest(write_rec(tmp_path / "damaged", records), [], config)
    assert [row[0] for row in columns(ingested, "sample_id", "status") if row[1] != "ok"] == ["train.rec#5"]
    assert "is 9, where the other images of its range have 1" in ingested["status_reason"][4].as_py()
    # Ranges that mean something else are no evidence.
    other = [record for _, record in insightface_records(people, [4, 4, 4])]
    other[1:13] = [image_record(image, float(number % 5), number=number) for number, (_, image) in enumerate(people, 1)]
    assert set(ingest(write_rec(tmp_path / "other", other), [], config)["status"].to_pylist()) == {"ok"}


def test_numbers_beyond_the_index(tmp_path: Path, encode: Encode, config: IngestConfig) -> None:
    """Records of equal numbers are called by their place in the file."""
    path = write_rec(tmp_path, [image_record(encode(seed=n), float(n % 2), number=5) for n in range(4)], keys=[])
    assert ingest(path, [], config)["sample_id"].to_pylist() == [f"train.rec#{n}" for n in range(4)]


def test_a_header_rounded_to_float32_hides_no_image(tmp_path: Path, encode: Encode, config: IngestConfig) -> None:
    """Beyond 2^24 records the range of identity records may begin a few records before its true place."""
    images = [(0, encode(seed=1)), (0, encode(seed=2)), (1, encode(seed=3))]
    records = [record for _, record in insightface_records(images, [2, 1])]
    rounded = frame(pack_image(ImageRecord((3.0, 6.0), 0, b"")))  # in truth from 4
    manifest = ingest(write_rec(tmp_path / "set", [rounded, *records[1:]]), [], config)
    assert contents(manifest) == [image for _, image in images]
    assert manifest["label"].to_pylist() == ["0", "0", "1"]


def test_a_file_cut_between_two_records_is_noticed_by_its_first(insightface: Path, config: IngestConfig) -> None:
    path = insightface if insightface.suffix == ".rec" else insightface / "train.rec"
    path.with_suffix(".idx").unlink(missing_ok=True)
    offsets = read_record_index(path, None).offsets
    path.write_bytes(path.read_bytes()[: int(offsets[3])])
    warnings = ingest_again(path, [], config, known=None).warnings
    assert any(f"announces {len(offsets) - 3} more records" in warning for warning in warnings), warnings
