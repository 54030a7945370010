from __future__ import annotations

import hashlib
import io
import tarfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image

from purify.cli.app import main
from purify.config import IngestConfig
from purify.ingest.ingest import ingest
from purify.progress import QUIET
from purify.tables.manifest import load_truth
from purify.tables.pairs import read_pairs
from purify_demo import lfw
from purify_demo.download import DownloadError, RemoteFile, fetch

CONTENT = np.random.default_rng(0).bytes(3 << 20)
SHORT = httpx.Timeout(0.3)


@dataclass
class Mirror:
    """A server on the loopback interface, and the requests that it got."""

    files: dict[str, bytes]
    url: str = ""
    #: Bytes after which the connection breaks, once.
    breaks_after: int | None = None
    ranges: bool = True
    asked: list[tuple[str, str | None]] = field(default_factory=list)


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    state = Mirror({"file.bin": CONTENT, "other.bin": b"not these"})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name, wanted = self.path.lstrip("/"), self.headers["Range"]
            state.asked.append((name, wanted))
            if name == "slow":
                time.sleep(1)
                return
            if name not in state.files:
                self.send_error(404, "Not Found")
                return
            content = state.files[name]
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and state.ranges else 0
            if start >= len(content) > 0 and start:
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            end = len(content) if state.breaks_after is None else start + state.breaks_after
            state.breaks_after = None
            self.wfile.write(content[start:end])

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    server.server_close()


def _file(mirror: Mirror, *names: str, content: bytes = CONTENT) -> RemoteFile:
    return RemoteFile("file.bin", [f"{mirror.url}/{name}" for name in names], hashlib.sha256(content).hexdigest())


def test_a_file_is_fetched_once(mirror: Mirror, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    file = _file(mirror, "file.bin")
    path = fetch(file, tmp_path, progress=lambda done, total, detail="": seen.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert fetch(file, tmp_path) == path
    assert mirror.asked == [("file.bin", None)]
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.bin"]


def test_an_interrupted_download_goes_on_where_it_was(mirror: Mirror, tmp_path: Path) -> None:
    mirror.breaks_after = 1 << 20
    with pytest.raises(DownloadError, match="can't be had"):
        fetch(_file(mirror, "file.bin"), tmp_path)
    there = (tmp_path / "file.bin.part").stat().st_size
    assert 0 < there <= 1 << 20
    assert fetch(_file(mirror, "file.bin"), tmp_path).read_bytes() == CONTENT
    assert mirror.asked[-1] == ("file.bin", f"bytes={there}-")


def test_the_next_mirror_goes_on_after_a_break(mirror: Mirror, tmp_path: Path) -> None:
    mirror.files["again.bin"] = CONTENT
    mirror.breaks_after = 1 << 20
    assert fetch(_file(mirror, "file.bin", "again.bin"), tmp_path).read_bytes() == CONTENT
    assert mirror.asked[1][0] == "again.bin"
    assert mirror.asked[1][1] is not None


@pytest.mark.parametrize("ranges", [True, False])
def test_a_part_of_other_bytes_is_begun_anew(mirror: Mirror, tmp_path: Path, ranges: bool) -> None:
    mirror.ranges = ranges
    (tmp_path / "file.bin.part").write_bytes(b"x" * 1000)
    assert fetch(_file(mirror, "file.bin"), tmp_path).read_bytes() == CONTENT
    (tmp_path / "file.bin").rename(tmp_path / "file.bin.part")  # complete, but not yet under its name
    assert fetch(_file(mirror, "file.bin"), tmp_path).read_bytes() == CONTENT


def test_other_bytes_are_refused(mirror: Mirror, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"other bytes than the published file has \(SHA-256\)"):
        fetch(_file(mirror, "other.bin"), tmp_path)
    assert not (tmp_path / "file.bin").exists()
    assert fetch(_file(mirror, "other.bin", "file.bin"), tmp_path).read_bytes() == CONTENT
    (tmp_path / "file.bin").write_bytes(b"of the user")
    with pytest.raises(DownloadError, match="move it away"):
        fetch(_file(mirror, "file.bin"), tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == b"of the user"


def test_every_mirror_that_fails_is_named_and_what_to_do_offline(mirror: Mirror, tmp_path: Path) -> None:
    file = replace(
        _file(mirror, "gone.bin", "slow"),
        mirrors=[f"{mirror.url}/gone.bin", f"{mirror.url}/slow", "http://127.0.0.1:1/x"],
    )
    with pytest.raises(DownloadError) as failure:
        fetch(file, tmp_path, timeout=SHORT)
    message = str(failure.value)
    assert "gone.bin: 404 Not Found" in message
    assert "slow: no answer in time" in message
    assert "http://127.0.0.1:1/x: " in message
    assert f"put it at {tmp_path / 'file.bin'}" in message
    assert file.sha256 in message


def _archive(people: dict[str, int]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for number, (person, images) in enumerate(people.items()):
            for image in range(1, images + 1):
                content = io.BytesIO()
                Image.new("RGB", (250, 250), (20 * number % 255, 9 * image, 80)).save(content, "JPEG")
                entry = tarfile.TarInfo(f"lfw/{person}/{person}_{image:04d}.jpg")
                entry.size = content.tell()
                content.seek(0)
                tar.addfile(entry, content)
    return out.getvalue()


PEOPLE = {"Ann_Lee": 12, "Bo_Ek": 11, "Cy_Oz": 10, "Dee_Poe": 5, "Eve_Fox": 2, "Flo_Gray": 3}
PAIRS = "1\t2\nDee_Poe\t1\t2\nDee_Poe\t3\t4\nDee_Poe\t1\tEve_Fox\t1\nDee_Poe\t2\tFlo_Gray\t3\n"


@pytest.fixture
def served(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> Mirror:
    mirror.files |= {"lfw.tgz": _archive(PEOPLE), "pairs.txt": PAIRS.encode()}
    for constant, name in (("ARCHIVE", "lfw.tgz"), ("PAIRS", "pairs.txt")):
        digest = hashlib.sha256(mirror.files[name]).hexdigest()
        monkeypatch.setattr(lfw, constant, RemoteFile(name, [f"{mirror.url}/{name}"], digest))
    return mirror


def test_lfw_becomes_a_noisy_set_with_truth(served: Mirror, tmp_path: Path) -> None:
    out = tmp_path / "lfw"
    result = CliRunner().invoke(main, ["demo-data", "lfw", "--out", str(out), "--json"])
    assert result.exit_code == 0, result.output
    table = pq.read_table(out / "noisy.parquet").to_pylist()
    assert {row["label"] for row in table} == {"Ann_Lee", "Bo_Ek", "Cy_Oz"}
    kinds = [row["kind"] for row in table]
    assert (kinds.count("flip"), kinds.count("outlier")) == (5, 5)  # 15 % of 33; Eve and Flo have 5 images
    for row in table:
        person = row["path"].split("/")[1]
        right = {"clean": row["label"] == person, "flip": row["label"] != person == row["true_label"]}
        assert right.get(row["kind"], row["true_label"] == "" and person in ("Eve_Fox", "Flo_Gray"))
    manifest = ingest(out / "noisy.parquet", [out / "faces.tar"], IngestConfig())
    assert set(manifest["status"].to_pylist()) == {"ok"}
    assert set(manifest["width"].to_pylist()) == {112}
    assert len(load_truth(out / "noisy.parquet")) == len(table)
    names = [f"lfw/{person}/{person}_{i:04d}.jpg" for person, n in PEOPLE.items() for i in range(1, n + 1)]
    assert read_pairs(out / "pairs.txt", names).given == 4


def test_the_same_seed_gives_the_same_bytes_and_nothing_is_fetched_again(served: Mirror, tmp_path: Path) -> None:
    first = lfw.write_lfw(tmp_path / "a", seed=1, board=QUIET)
    second = lfw.write_lfw(tmp_path / "b", seed=1, board=QUIET)
    for name in ("images", "table", "pairs"):
        assert getattr(first, name).read_bytes() == getattr(second, name).read_bytes()
    asked = len(served.asked)
    lfw.write_lfw(tmp_path / "a", seed=1, board=QUIET)
    other = lfw.write_lfw(tmp_path / "a", seed=2, board=QUIET)
    assert len(served.asked) == asked
    assert other.table.read_bytes() != second.table.read_bytes()


def test_offline_the_command_says_what_to_do(served: Mirror, tmp_path: Path) -> None:
    del served.files["pairs.txt"]
    result = CliRunner().invoke(main, ["demo-data", "lfw", "--out", str(tmp_path / "lfw")])
    assert result.exit_code == 1
    assert "404" in result.output
    assert "Without a connection: fetch" in result.output
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    result = CliRunner().invoke(main, ["demo-data", "lfw", "--out", str(tmp_path / "mine")])
    assert result.exit_code == 2
    assert "give another --out" in result.output
