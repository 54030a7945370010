"""MXNet reads what we write, and the other way round.

MXNet 1.9.1, its last release, needs Python 3.8 or older and NumPy below 1.24, so it runs in an environment of its own::

    python3.8 -m venv mxnet && mxnet/bin/pip install mxnet==1.9.1 "numpy<1.24"
    PURIFY_MXNET_PYTHON=mxnet/bin/python pytest tests/storage/test_mxnet.py -m slow
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from purify.storage.rec_container import RecImages, rec_key
from purify.storage.record_index import read_record_index
from purify.storage.recordio import MAGIC, index_line, insightface_records, unframe, unpack_image

pytestmark = pytest.mark.slow
_PYTHON = "PURIFY_MXNET_PYTHON"

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
