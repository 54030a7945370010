"""Damaged sources of every kind: rows keep their labels, or the source is refused by a message that names the file.

A format without checksums (tar's members, text, LMDB, Arrow) can't tell that a bit of a label was flipped, so labels
are checked where one can. ``PURIFY_CAMPAIGN`` multiplies the number of mutants.
"""

from __future__ import annotations

import base64
import json
import os
import random
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from purify.config import IngestConfig
from purify.errors import PurifyError
from purify.ingest.ingest import ingest
from purify.storage.recordio import index_line, insightface_records
from tests.tar_files import write_tar

MUTANTS = 12 * int(os.environ.get("PURIFY_CAMPAIGN", "1"))
_PEOPLE, _EACH = 3, 4

Images = list[tuple[int, bytes]]


@pytest.fixture(scope="module")
def images(encode: Callable[..., bytes]) -> Images:
    """Class and PNG of each image: a PNG has checksums, so a changed one is unreadable."""
    return [(n // _EACH, encode(seed=n)) for n in range(_PEOPLE * _EACH)]


def _rec(folder: Path, images: Images) -> Path:
    offset, lines = 0, []
    with (folder / "train.rec").open("wb") as file:
        for key, record in insightface_records(images, [_EACH] * _PEOPLE):
            lines.append(index_line(key, offset))
            offset += file.write(record)
    (folder / "train.idx").write_text("".join(lines))
    return folder


def _tar(folder: Path, images: Images) -> Path:
    return write_tar(folder / "set.tar", {f"p{label}/{n}.png": image for n, (label, image) in enumerate(images)})


def _zip(folder: Path, images: Images) -> Path:
    with zipfile.ZipFile(folder / "set.zip", "w") as archive:
        for n, (label, image) in enumerate(images):
            archive.writestr(f"p{label}/{n}.png", image)
    return folder / "set.zip"


def _parquet(folder: Path, images: Images) -> Path:
    names = {"info": {"features": {"label": {"names": ["a", "b", "c"], "_type": "ClassLabel"}}}}
    table = pa.table({"image": [image for _, image in images], "label": [label for label, _ in images]})
    table = table.replace_schema_metadata({"huggingface": json.dumps(names)})
    pq.write_table(table, folder / "a.parquet", row_group_size=5, write_page_checksum=True)
    return folder / "a.parquet"


def _tsv(folder: Path, images: Images) -> Path:
    lines = (
        f"m.{label}\t{n}\tu\tv\tf\tAAA=\t{base64.b64encode(image).decode()}\n"
        for n, (label, image) in enumerate(images)
    )
    (folder / "a.tsv").write_text("".join(lines))
    return folder / "a.tsv"


def _lmdb(folder: Path, images: Images) -> Path:
    lmdb = pytest.importorskip("lmdb")
    with lmdb.open(str(folder / "set.lmdb"), map_size=1 << 20) as database, database.begin(write=True) as transaction:
        for n, (label, image) in enumerate(images):
            transaction.put(f"p{label}/{n}.png".encode(), image)
    (folder / "set.lmdb/lock.mdb").unlink()
    return folder / "set.lmdb"


def _webdataset_cls(folder: Path, images: Images) -> Path:
    return _shards(folder, images, "cls", lambda label: str(label).encode())


def _webdataset_json(folder: Path, images: Images) -> Path:
    return _shards(folder, images, "json", lambda label: json.dumps({"label": label}).encode())


def _shards(folder: Path, images: Images, kind: str, content: Callable[[int], bytes]) -> Path:
    """Two shards, with labels in a file beside each image."""
    for shard in range(2):
        files = {}
        for n, (label, image) in list(enumerate(images))[shard::2]:
            files |= {f"{n}.{kind}": content(label), f"{n}.png": image}
        write_tar(folder / f"shard-{shard:05d}.tar", files)
    return folder


def _arrow(folder: Path, images: Images) -> Path:
    """As `datasets` saves a set to disk."""
    names = {"features": {"label": {"names": ["a", "b", "c"], "_type": "ClassLabel"}, "image": {"_type": "Image"}}}
    (folder / "dataset_info.json").write_text(json.dumps(names))
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))
    values = [{"bytes": image, "path": f"{n}.png"} for n, (_, image) in enumerate(images)]
    table = pa.table({"image": values, "label": [label for label, _ in images]})
    with pa.ipc.new_stream(folder / "data-00000-of-00001.arrow", table.schema) as stream:
        stream.write_table(table, max_chunksize=5)
    return folder


def _csv(folder: Path, images: Images) -> Path:
    return _list(folder, images, "set.csv", "path,label\n", "{path},p{label}\n")


def _jsonl(folder: Path, images: Images) -> Path:
    return _list(folder, images, "set.jsonl", "", '{{"path": "{path}", "label": "p{label}"}}\n')


def _list(folder: Path, images: Images, name: str, head: str, line: str) -> Path:
    """Images in files, and a list of them in text."""
    lines = [head]
    for n, (label, image) in enumerate(images):
        (folder / f"{n}.png").write_bytes(image)
        lines.append(line.format(path=f"{n}.png", label=label))
    (folder / name).write_text("".join(lines))
    return folder / name


def _mutants(file: Path, content: bytes, rnd: random.Random) -> Iterator[bytes]:
    """Zero length; cut at and about any boundary of 1, 512 and 4096 bytes; a bit flipped; a part zeroed or doubled."""
    yield b""
    yield b"PK\3\4" + content[4:] if file.suffix != ".zip" else b"\0" + content[1:]
    while True:
        at = rnd.randrange(len(content))
        block = rnd.choice((1, 4, 512, 4096))
        edge = min(len(content), at // block * block + rnd.choice((-1, 0, 0, 1)) % (len(content) + 1))
        match rnd.randrange(4):
            case 0:
                yield content[:edge]
            case 1:
                yield content[:at] + bytes([content[at] ^ 1 << rnd.randrange(8)]) + content[at + 1 :]
            case 2:
                yield content[:edge] + bytes(min(block, len(content) - edge)) + content[edge + block :]
            case _:
                yield content[: edge + block] + content[edge:]


@pytest.mark.parametrize(
    "write", [_rec, _tar, _zip, _parquet, _tsv, _lmdb, _webdataset_cls, _webdataset_json, _arrow, _csv, _jsonl]
)
def test_no_wrong_row(
    tmp_path: Path, images: Images, write: Callable[[Path, Images], Path], record_property: Callable[..., None]
) -> None:
    config = IngestConfig(workers=1)
    (tmp_path / "whole").mkdir()
    source = write(tmp_path / "whole", images)
    files = sorted(path for path in (tmp_path / "whole").rglob("*") if path.is_file())
    label_of = {row["sha256"]: row["label"] for row in ingest(source, [], config).to_pylist()}
    assert len(label_of) == len(images)
    rnd = random.Random(write.__name__)
    damaged = [file for file in files if file.suffix != ".png"]  # images alone are the subject of other tests
    mutants = {file: _mutants(file, file.read_bytes(), rnd) for file in damaged}
    counts, refusals = dict.fromkeys(("whole", "less", "other"), 0), list[str]()
    for number in range(MUTANTS if write is not _lmdb else MUTANTS // 4):  # another process looks at each database
        file = damaged[number % len(damaged)]
        place = tmp_path / str(number)
        for other in files:
            target = place / other.relative_to(tmp_path / "whole")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(next(mutants[file]) if other == file else other.read_bytes())
        try:
            rows = ingest(place / source.relative_to(tmp_path / "whole"), [], config).to_pylist()
        except PurifyError as error:
            refusals.append(str(error))
            continue
        good = [row for row in rows if row["status"] == "ok"]
        wrong = [row for row in good if row["sha256"] in label_of and label_of[row["sha256"]] != row["label"]]
        others = sum(row["sha256"] not in label_of for row in good)
        assert len({row["sample_id"] for row in rows}) == len(rows)
        if write in (_rec, _zip, _parquet):  # what protects labels: identity ranges, checksums
            assert not wrong, (number, file.name, wrong[0])
        counts["other" if wrong or others else "whole" if len(good) >= len(images) else "less"] += 1
    record_property("counts", counts)
    record_property("refused", len(refusals))
    assert refusals
    assert all(str(tmp_path) in message or damaged[0].name in message for message in refusals)
