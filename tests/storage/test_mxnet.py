"""MXNet reads what we write, and the other way round.

MXNet 1.9.1, its last release, needs Python 3.8 or older and NumPy below 1.24, so it runs in an environment of its own::

    python3.8 -m venv mxnet && mxnet/bin/pip install mxnet==1.9.1 "numpy<1.24" opencv-python-headless
    PURIFY_MXNET_PYTHON=mxnet/bin/python pytest tests/storage/test_mxnet.py -m slow
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from purify.config import IngestConfig
from purify.export.export_table import ExportRequest, export_table
from purify.ingest.ingest import ingest, ingest_again
from purify.storage.image_bytes import ImageByteReader
from purify.storage.rec_container import RecImages, rec_key
from purify.storage.record_index import read_record_index
from purify.storage.recordio import (
    MAGIC,
    ImageRecord,
    frame,
    index_line,
    insightface_records,
    pack_image,
    unframe,
    unpack_image,
)

pytestmark = pytest.mark.slow
_PYTHON = "PURIFY_MXNET_PYTHON"

_CLASSES, _EACH, _SIDE = 5, 7, 24

Mxnet = Callable[[str, Path], Any]


@pytest.fixture(scope="module")
def mxnet() -> Mxnet:
    """What ``mxnet_recordio.py`` prints; skips without an interpreter that has MXNet."""
    python = os.environ.get(_PYTHON)
    if python is None:
        pytest.skip(f"{_PYTHON} names no Python (3.8) with mxnet 1.9.1")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(action: str, folder: Path) -> Any:
        command = [python, str(Path(__file__).with_name("mxnet_recordio.py")), action, str(folder)]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)

    return run


def test_mxnet_reads_what_we_write(tmp_path: Path, mxnet: Mxnet) -> None:
    images = [(0, b"face"), (0, MAGIC), (1, b"1234" + MAGIC), (1, MAGIC * 3 + b"x"), (2, b"x" + MAGIC), (2, b"")]
    images += [(2, bytes(range(256)) * 40 + MAGIC + bytes(range(256)))]
    offset, lines = 0, []
    with (tmp_path / "train.rec").open("wb") as file:
        for key, record in insightface_records(images, [2, 2, 3]):
            lines.append(index_line(key, offset))
            offset += file.write(record)
    (tmp_path / "train.idx").write_text("".join(lines))
    empty = hashlib.sha256(b"").hexdigest()
    assert mxnet("read", tmp_path) == [
        [0, 2, [8.0, 11.0], 0, empty],
        *([n, 0, [float(label)], n, hashlib.sha256(image).hexdigest()] for n, (label, image) in enumerate(images, 1)),
        [8, 2, [1.0, 3.0], 8, empty],
        [9, 2, [3.0, 5.0], 9, empty],
        [10, 2, [5.0, 8.0], 10, empty],
    ]


@pytest.mark.parametrize("with_index", [True, False])
def test_we_read_what_mxnet_writes(tmp_path: Path, mxnet: Mxnet, with_index: bool) -> None:
    written = mxnet("write", tmp_path)
    index = read_record_index(tmp_path / "train.rec", tmp_path / "train.idx" if with_index else None)
    data = (tmp_path / "train.rec").read_bytes()
    container = RecImages(tmp_path / "train.rec")
    for row, (key, _flag, labels, number, digest) in enumerate(written):
        offset = int(index.offsets[row])
        assert (index.keys[row], index.labels[row], index.is_image[row]) == (key, labels[0], True)
        assert hashlib.sha256(container.read(rec_key(key, offset))).hexdigest() == digest
        read = unpack_image(unframe(data[offset:])[0])
        assert (list(read.labels), read.number) == (labels, number)
    container.close()


@pytest.fixture(scope="module")
def people() -> list[tuple[int, bytes]]:
    """Class and bytes of JPEGs, some with the magic number at every alignment."""
    random = np.random.default_rng(0)
    images = []
    for number in range(_CLASSES * _EACH):
        coarse = Image.fromarray(random.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        coarse.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC).save(stream := BytesIO(), "JPEG", quality=95)
        comment = b"".join(bytes(place % 4) + MAGIC for place in range(number % 6))
        picture = stream.getvalue()
        marker = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
        images.append((number // _EACH, picture[:2] + marker + picture[2:]))
    return images


@pytest.fixture(scope="module")
def image_folder(tmp_path_factory: pytest.TempPathFactory, people: list[tuple[int, bytes]]) -> Path:
    """A folder with the images in ``images/CLASS``."""
    folder = tmp_path_factory.mktemp("people")
    for number, (label, image) in enumerate(people):
        path = folder / "images" / str(label) / f"{number:03d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image)
    return folder


@pytest.fixture(scope="module", params=["write_several_labels", "write_insightface", "im2rec"])
def by_mxnet(request: pytest.FixtureRequest, mxnet: Mxnet, image_folder: Path) -> tuple[Path, Sequence[Any]]:
    """Folder of a ``train.rec`` of the images, and what MXNet says that it wrote."""
    written = mxnet(request.param, image_folder)
    return image_folder, written


def _by_id(manifest: pa.Table) -> Mapping[str, tuple[str, str]]:
    """Label and hash of each sample; the hash is that of the bytes which the rest of purify reads, too."""
    assert set(manifest["status"].to_pylist()) == {"ok"}
    with ImageByteReader() as reader:
        read = [hashlib.sha256(reader.read(uri)).hexdigest() for uri in manifest["uri"].to_pylist()]
    assert read == manifest["sha256"].to_pylist()
    rows = zip(*(manifest[name].to_pylist() for name in ("sample_id", "label", "sha256")), strict=True)
    return {sample: (label, digest) for sample, label, digest in rows}


def _of_mxnet(written: Sequence[Any]) -> Mapping[str, tuple[str, str]]:
    nothing = hashlib.sha256(b"").hexdigest()
    return {
        f"train.rec#{key}": (f"{labels[0]:.0f}", digest) for key, _, labels, _, digest in written if digest != nothing
    }


def _damage_index(path: Path, index: str) -> None:
    lines = path.read_text().splitlines(keepends=True)
    match index:
        case "missing":
            path.unlink()
        case "empty":
            path.write_text("")
        case "shifted":
            path.write_text("".join(f"{line.split()[0]}\t{int(line.split()[1]) + 4}\n" for line in lines))
        case "points nowhere":
            path.write_text("".join(lines[:-1]) + f"{lines[-1].split()[0]}\t{1 << 40}\n")


@pytest.mark.parametrize("index", ["whole", "missing", "empty", "shifted", "points nowhere"])
def test_every_label_and_byte_of_a_set_by_mxnet(
    tmp_path: Path, by_mxnet: tuple[Path, Sequence[Any]], people: list[tuple[int, bytes]], index: str
) -> None:
    folder, records = by_mxnet
    written = _of_mxnet(records)
    assert sorted(written.values()) == sorted((str(n), hashlib.sha256(image).hexdigest()) for n, image in people)
    for name in ("train.rec", "train.idx"):
        shutil.copy(folder / name, tmp_path / name)
    _damage_index(tmp_path / "train.idx", index)
    found = ingest_again(tmp_path / "train.rec", [], IngestConfig(), known=None)
    assert _by_id(found.manifest) == written
    assert bool(found.warnings) == (index not in ("whole", "missing"))


def test_mxnet_reads_our_export(
    tmp_path: Path, mxnet: Mxnet, image_folder: Path, people: list[tuple[int, bytes]]
) -> None:
    pq.write_table(ingest(image_folder / "images", [], IngestConfig()), tmp_path / "manifest.parquet")
    export_table(ExportRequest(tmp_path / "manifest.parquet", "rec", tmp_path / "out"))
    hashes = [(float(label), hashlib.sha256(image).hexdigest()) for label, image in people]
    first = len(people) + 1
    nothing = hashlib.sha256(b"").hexdigest()
    expected = [
        [0, 2, [float(first), float(first + _CLASSES)], 0, nothing],
        *([n, 0, [label], n, digest] for n, (label, digest) in enumerate(hashes, 1)),
        *([first + k, 2, [1.0 + _EACH * k, 1.0 + _EACH * (k + 1)], first + k, nothing] for k in range(_CLASSES)),
    ]
    assert mxnet("read", tmp_path / "out") == expected
    assert mxnet("scan", tmp_path / "out") == expected


def test_mxnets_native_reader_decodes_our_records(
    tmp_path: Path, mxnet: Mxnet, people: list[tuple[int, bytes]]
) -> None:
    with (tmp_path / "train.rec").open("wb") as file:
        for number, (label, image) in enumerate(people):
            file.write(frame(pack_image(ImageRecord((float(label),), number, image))))
    means = [np.asarray(Image.open(BytesIO(image)).convert("RGB"), np.float64).mean() for _, image in people]
    labels, decoded = zip(*mxnet("decode", tmp_path), strict=True)
    assert list(labels) == [label for label, _ in people]
    np.testing.assert_allclose(decoded, means, atol=0.5)
