"""Whole runs of photos where no network is: they work, and nothing tries to reach one.

The kernel counts what a network namespace without routes could not send, also what native code hides from Python.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from purify.faces.packaged_models import faces_installed
from purify.tables.manifest import load_manifest
from tests.detector_models import write_detector
from tests.onnx_model import write_linear_onnx
from tests.pipeline.test_face_choice import photo

ROOT = Path(__file__).parents[2]
FACES = Path(os.environ.get("PURIFY_FACES", "/nowhere"))
_ALONE = ["unshare", "--map-root-user", "--net", "sh", "-c"]
_UP = "ip link set lo up && "


def _can_be_alone() -> bool:
    if not (shutil.which("unshare") and shutil.which("ip")):
        return False
    return subprocess.run([*_ALONE, f"{_UP} true"], check=False, capture_output=True).returncode == 0


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not _can_be_alone(), reason="needs unshare, ip, and the right to make a network namespace"),
]


def alone(words: list[str]) -> int:
    """Run purify with `words` and only the loopback interface; returns the number of packets without a route."""
    script = f'{_UP}"$@" >&2; code=$?; grep ^Ip: /proc/net/snmp; exit $code'
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [*_ALONE, script, "sh", sys.executable, *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr
    names, values = (line.split() for line in done.stdout.splitlines())
    return int(values[names.index("OutNoRoutes")])


def test_attempts_are_counted() -> None:
    code = "import socket\ntry: socket.create_connection(('192.0.2.1', 80), 2)\nexcept OSError: pass"
    assert alone(["-c", code]) > 0
    assert alone(["-c", "pass"]) == 0


def test_a_run_with_models_in_onnx_reaches_for_no_network(tmp_path: Path) -> None:
    for number, name in enumerate(("ada", "ben", "cem")):
        for k in range(4):
            photo(tmp_path / "photos" / name / f"{k}.png", {(4, 4): name}, seed=10 * number + k)
    write_linear_onnx(tmp_path / "lines.onnx", np.random.default_rng(0).normal(size=(3 * 16 * 16, 32)), size=16)
    detector = write_detector(tmp_path / "detector.onnx", "yunet")
    words = ["--extractor", str(tmp_path / "lines.onnx"), "--set", f"align.detector={detector}"]
    assert alone([*_run_flow(tmp_path), *words]) == 0
    assert load_manifest(tmp_path / "runs" / "alone" / "manifest.parquet")["face_choice"].null_count == 0


@pytest.mark.skipif(not faces_installed(), reason="needs the extra faces")
@pytest.mark.skipif(not (FACES / "lfw_raw_sample.tar").is_file(), reason="needs lfw_raw_sample.tar in PURIFY_FACES")
def test_a_run_with_dlib_reaches_for_no_network(tmp_path: Path) -> None:
    with tarfile.open(FACES / "lfw_raw_sample.tar") as tar:
        names = ("Adrien_Brody", "Paul_Burrell", "Oswaldo_Paya")
        for name in names:
            for member in [one for one in tar if one.isfile() and f"/{name}/" in one.name][:5]:
                path = tmp_path / "photos" / name / Path(member.name).name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(tar.extractfile(member).read())
    assert alone(_run_flow(tmp_path)) == 0
    manifest = load_manifest(tmp_path / "runs" / "alone" / "manifest.parquet")
    assert manifest["status"].unique().to_pylist() == ["ok"]


def _run_flow(folder: Path) -> list[str]:
    place = ["--out", str(folder / "runs"), "--name", "alone"]
    return ["-m", "purify", "run-flow", str(folder / "photos"), "--align", *place, "--set", "retrain.enabled=false"]
