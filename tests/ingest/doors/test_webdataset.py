"""WebDataset shards, and tars of label folders that only look alike."""

from __future__ import annotations

import gzip
import io
import json
import resource
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from purify.config import IngestConfig
from purify.errors import InputError
from purify.ingest.ingest import ingest, ingest_again
from purify.storage.image_bytes import ImageByteReader

Encode = Callable[..., bytes]
Write = Callable[[Path, Mapping[str, bytes]], Path]


def _samples(
    encode: Encode, count: int, ending: str, label: Callable[[int], bytes], start: int = 0
) -> dict[str, bytes]:
    files = {}
    for number in range(start, start + count):
        files[f"{number:06d}.jpg"] = encode(seed=number, file_format="JPEG")
        files[f"{number:06d}{ending}"] = label(number)
    return files


def _cls(number: int) -> bytes:
    return b"%d" % (number % 3)


def _rows(source: Path, config: IngestConfig, **changes: object) -> dict[str, dict[str, object]]:
    manifest = ingest(source, [], config.model_copy(update=changes))
    return {row["sample_id"]: row for row in manifest.to_pylist()}


@pytest.mark.parametrize("packed", [False, True])
def test_shards_with_cls(
    tmp_path: Path, write_tar: Write, encode: Encode, config: IngestConfig, *, packed: bool
) -> None:
    files = {}
    for shard in range(3):
        content = _samples(encode, 4, ".cls", _cls, start=4 * shard)
        path = write_tar(tmp_path / "set" / f"shard-{shard:03d}.tar", content) if not packed else None
        if path is None:
            plain = write_tar(tmp_path / "plain.tar", content)
            path = tmp_path / "set" / f"shard-{shard:03d}.tar.gz"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(gzip.compress(plain.read_bytes()))
        files |= {f"{path.name}#{name[:6]}": data for name, data in content.items() if name.endswith(".jpg")}
    suffix = ".tar.gz" if packed else ".tar"
    for source in (tmp_path / "set", tmp_path / "set" / f"shard-{{000..002}}{suffix}"):
        rows = _rows(source, config)
        assert list(rows) == sorted(files)
        with ImageByteReader() as reader:
            for sample_id, row in rows.items():
                assert row["label"] == str(int(sample_id[-6:]) % 3)
                assert reader.read(str(row["uri"])) == files[sample_id]
                assert row["status"] == "ok"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()


def test_json_by_its_field(tmp_path: Path, write_tar: Write, encode: Encode, config: IngestConfig) -> None:
    def meta(number: int) -> bytes:
        return json.dumps({"person": {"id": number % 2}, "name": f"p{number % 2}", "w": 24}).encode()

    path = write_tar(tmp_path / "set.tar", _samples(encode, 6, ".json", meta))
    assert [row["label"] for row in _rows(path, config, label_field="name").values()] == ["p0", "p1"] * 3
    assert [row["label"] for row in _rows(path, config, label_field="person.id").values()] == ["0", "1"] * 3
    with pytest.raises(InputError, match=r"no label in .*the \.json has name, person, w: choose one by --label-field"):
        ingest(path, [], config)


def test_txt_and_samples_without_a_label(
    tmp_path: Path, write_tar: Write, encode: Encode, config: IngestConfig
) -> None:
    files = _samples(encode, 6, ".txt", lambda number: b" Zo\xc3\xab\n" if number % 2 else b"Bo")
    del files["000004.txt"]
    files["000005.mask.png"] = encode()
    ingested = ingest_again(write_tar(tmp_path / "set.tar", files), [], config, known=None)
    rows = {row["sample_id"]: row for row in ingested.manifest.to_pylist()}
    assert [row["label"] for row in rows.values()] == ["Bo", "Zoë", "Bo", "Zoë", "", "Zoë"]
    assert rows["set.tar#000004"]["status"] == "no_label"
    assert rows["set.tar#000005"]["uri"].endswith("000005.jpg::" + (tmp_path / "set.tar").as_uri())
    assert "1 samples have no label (set.tar#000004)" in ingested.warnings[0]
    assert "several images (set.tar#000005)" in ingested.warnings[1]


def test_captions_are_doubted(tmp_path: Path, write_tar: Write, encode: Encode, config: IngestConfig) -> None:
    files = _samples(encode, 100, ".txt", lambda number: f"a photo of {number}".encode())
    ingested = ingest_again(write_tar(tmp_path / "set.tar", files), [], config, known=None)
    assert "nearly all different, as captions are" in ingested.warnings[0]


@pytest.mark.parametrize("ending", [".cls", ".json", ".txt"])
def test_a_tar_of_label_folders_stays_one(
    tmp_path: Path, write_tar: Write, encode: Encode, config: IngestConfig, ending: str
) -> None:
    files = {f"{label}/{i}.png": encode(seed=i) for label in ("Ann", "Bo") for i in range(3)}
    beside = {name.replace(".png", ending): b'{"label": 7}' if ending == ".json" else b"7" for name in files}
    rows = _rows(write_tar(tmp_path / "set.tar", files | beside), config)
    assert list(rows) == sorted(files)
    assert [row["label"] for row in rows.values()] == ["Ann"] * 3 + ["Bo"] * 3


def test_folders_that_are_no_labels(tmp_path: Path, write_tar: Write, encode: Encode, config: IngestConfig) -> None:
    flat = _samples(encode, 8, ".cls", _cls)
    path = write_tar(tmp_path / "set.tar", {f"{int(name[:6]) // 4}/{name}": data for name, data in flat.items()})
    assert [row["label"] for row in _rows(path, config).values()] == [str(i % 3) for i in range(8)]


def test_shards_of_label_folders_in_splits(
    tmp_path: Path, write_tar: Write, encode: Encode, config: IngestConfig
) -> None:
    for shard in ("train/0.tar", "train/1.tar", "val/0.tar"):
        (tmp_path / "set" / shard).parent.mkdir(exist_ok=True)
        write_tar(tmp_path / "set" / shard, {f"{label}/1.v2.png": encode() for label in ("Ann", "Bo")})
    rows = _rows(tmp_path / "set", config)
    assert [(key, row["label"], row["split"]) for key, row in rows.items()] == [
        ("train/0.tar#Ann/1", "Ann", "train"),
        ("train/0.tar#Bo/1", "Bo", "train"),
        ("train/1.tar#Ann/1", "Ann", "train"),
        ("train/1.tar#Bo/1", "Bo", "train"),
        ("val/0.tar#Ann/1", "Ann", "val"),
        ("val/0.tar#Bo/1", "Bo", "val"),
    ]


def test_damaged_and_missing_shards_are_told_at_once(
    tmp_path: Path, write_tar: Write, encode: Encode, config: IngestConfig
) -> None:
    for shard in range(3):
        path = write_tar(tmp_path / "set" / f"{shard}.tar", _samples(encode, 2, ".cls", _cls))
        if shard:
            path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(InputError, match=r"(?s)2 damaged shards:.*1\.tar: .*2\.tar: "):
        ingest(tmp_path / "set", [], config)
    with pytest.raises(InputError, match=r"2 of 5 files are missing: .*3\.tar, .*4\.tar"):
        ingest(tmp_path / "set" / "{0..4}.tar", [], config)


def test_more_shards_than_open_files(tmp_path: Path, write_tar: Write, encode: Encode, config: IngestConfig) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    content = _samples(encode, 1, ".cls", _cls)
    for shard in range(300):
        write_tar(tmp_path / "set" / f"{shard}.tar", content)
    resource.setrlimit(resource.RLIMIT_NOFILE, (280, hard))
    try:
        assert set(ingest(tmp_path / "set", [], config)["status"].to_pylist()) == {"ok"}
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_format_can_be_chosen(tmp_path: Path, write_tar: Write, encode: Encode, config: IngestConfig) -> None:
    files = {f"{label}/{i}.png": encode(seed=i) for label in ("Ann", "Bo") for i in range(2)}
    path = write_tar(tmp_path / "set.tar", files | {f"{name[:-4]}.cls": b"7" for name in files})
    assert {row["label"] for row in _rows(path, config, format="webdataset").values()} == {"7"}
    with pytest.raises(InputError, match=r"--format webdata: there are .*; did you mean 'webdataset'"):
        ingest(path, [], config.model_copy(update={"format": "webdata"}))


def test_a_sample_of_extended_names(tmp_path: Path, encode: Encode, config: IngestConfig) -> None:
    with tarfile.open(tmp_path / "set.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        for number in range(3):
            for ending, data in ((".JPG", encode(file_format="JPEG")), (".cls", b"5")):
                member = tarfile.TarInfo(f"{'é' * 90}-{number}{ending}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    assert [row["label"] for row in _rows(tmp_path / "set.tar", config).values()] == ["5"] * 3


def test_a_pattern_that_the_shell_has_expanded_is_one_set(
    tmp_path: Path, write_tar: Write, encode: Encode, config: IngestConfig
) -> None:
    paths = [
        write_tar(tmp_path / "set" / f"shard-{shard:03d}.tar", _samples(encode, 3, ".cls", _cls, start=3 * shard))
        for shard in range(2)
    ]
    expanded = _rows(paths[0], config, more=[str(paths[1])])
    assert expanded == _rows(tmp_path / "set" / "shard-{000..001}.tar", config)
    assert [row["label"] for row in expanded.values()] == ["0", "1", "2"] * 2
    people = [
        write_tar(tmp_path / f"part{part}.tar", {f"{label}/1.png": encode() for label in ("Ann", "Bo")})
        for part in range(2)
    ]
    merged = _rows(people[0], config, more=[str(people[1])])  # label folders: names may be of different people
    assert [row["label"] for row in merged.values()] == ["part0/Ann", "part0/Bo", "part1/Ann", "part1/Bo"]
