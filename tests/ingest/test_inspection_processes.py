"""Many images are inspected in processes, with the result of threads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from purify.config import IngestConfig
from purify.errors import InputError, PurifyError
from purify.ingest import inspection
from purify.ingest.chunk_inspection import Limits
from purify.ingest.ingest import ingest
from purify.ingest.inspection_processes import InspectionProcesses
from purify.storage.image_bytes import ImageByteReader
from purify.storage.locations import container_uri, file_uri
from purify.storage.recordio import ImageRecord, frame, pack_image
from tests.tar_files import write_tar

Encode = Callable[..., bytes]
Write = Callable[[Path, Mapping[str, bytes]], Path]
LIMITS = Limits(min_size=16, max_pixels=10**8)

PARENT = """
import sys, time
from purify.ingest.chunk_inspection import Limits
from purify.ingest.inspection_processes import InspectionProcesses
from purify.storage.image_bytes import ImageByteReader

with ImageByteReader() as reader, InspectionProcesses(1, Limits(1, 10**8)) as processes:
    processes.inspect(["file:///nowhere.jpg"], [None], reader)
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def images(encode: Encode) -> dict[str, bytes]:
    """Files of two labels: images of several forms, damaged ones, one beyond the limits of a process."""
    whole = {
        f"{label}/{k} 100%.{form.lower()}": encode(seed=k, file_format=form)
        for label in "AB"
        for k, form in enumerate(("JPEG", "PNG"))
    }
    odd = {
        "A/cut.jpg": encode(file_format="JPEG")[:300],
        "A/no.jpg": b"no image",
        "B/empty.png": b"",
        "B/small.png": encode(3, 3),
    }
    return {**whole, **odd, "B/large.png": encode(2100, 2100)}


def _rec(path: Path, images: Mapping[str, bytes]) -> None:
    records = (
        pack_image(ImageRecord((float(name[0] == "A"),), k, data)) for k, (name, data) in enumerate(images.items())
    )
    path.write_bytes(b"".join(map(frame, records)))


def _parquet(path: Path, images: Mapping[str, bytes]) -> None:
    pq.write_table(pa.table({"image": list(images.values()), "label": [name[0] for name in images]}), path)


def _in_processes(monkeypatch: pytest.MonkeyPatch, source: Path) -> pa.Table:
    with monkeypatch.context() as patch:
        patch.setattr(inspection, "LEAST_FOR_PROCESSES", 0)
        return ingest(source, [], IngestConfig(workers=2))


@pytest.mark.parametrize(("name", "write"), [("set.tar", write_tar), ("train.rec", _rec), ("set.parquet", _parquet)])
def test_the_manifest_of_a_container_is_that_of_threads(
    tmp_path: Path,
    images: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    write: Callable[[Path, Mapping[str, bytes]], None],
) -> None:
    write(tmp_path / name, images)
    manifest = ingest(tmp_path / name, [], IngestConfig(workers=1))
    assert _in_processes(monkeypatch, tmp_path / name).equals(manifest)
    reasons = [str(reason).partition(":")[0] for reason in manifest["status_reason"].to_pylist() if reason]
    assert {"truncated", "not_an_image", "too_small"} <= set(reasons)
    assert 2100 in manifest["width"].to_pylist()


def test_the_manifest_of_a_folder_is_that_of_threads(
    tmp_path: Path, images: dict[str, bytes], write_tree: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_tree(tmp_path / "set", {**images, "above.jpg": images["A/cut.jpg"]})
    manifest = ingest(source, [], IngestConfig(workers=1))
    assert _in_processes(monkeypatch, source).equals(manifest)
    assert "no_label" in manifest["status"].to_pylist()


def test_a_fault_of_a_container_and_a_killed_process_are_named(tmp_path: Path, encode: Encode) -> None:
    (tmp_path / "1.jpg").write_bytes(encode(file_format="JPEG"))
    uri = file_uri(tmp_path / "1.jpg")
    with ImageByteReader() as reader, InspectionProcesses(1, LIMITS) as processes:
        with pytest.raises(InputError, match="no record 'x'"):
            processes.inspect([container_uri("rec", "x", tmp_path / "1.jpg")], [None], reader)
        answer = processes.inspect([uri, None], [None, "no_label: none"], reader)
        assert answer is not None
        assert answer.column("status").to_pylist() == ["ok", "no_label"]
        os.kill(int(_children(os.getpid())[-1]), signal.SIGKILL)
        with pytest.raises(PurifyError, match="exit code -9"):
            processes.inspect([uri], [None], reader)
    assert processes.inspect([container_uri("zip", "x", tmp_path / "1.zip")], [None], reader) is None


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_no_process_outlives_its_parent(how: int) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        (child,) = _children(parent.pid)
        parent.send_signal(how)
        parent.wait()
        deadline = time.monotonic() + 30
        while _runs(child):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def _runs(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
