"""An ingest into a file: the manifest of an ingest in memory, in memory that doesn't grow with the set."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from purify.config import IngestConfig
from purify.errors import InputError
from purify.ingest import inspection, last_uses, stamped_chunks, text_column
from purify.ingest.ingest import ingest, ingest_file
from purify.storage import containers
from purify.storage.files import write_table
from purify.storage.recordio import ImageRecord, frame, pack_image
from tests.tar_files import write_tar

Encode = Callable[..., bytes]
Write = Callable[[Path, Mapping[str, bytes]], Path]

#: Ingests the source and prints the growth of the peak of the memory in bytes.
GROWTH = """
import sys
from pathlib import Path
from purify.config import IngestConfig
from purify.ingest.ingest import ingest_file
from purify.storage import files

files._ROW_GROUP_ROWS = 1 << 13

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024

if __name__ == "__main__":
    small, source, out = map(Path, sys.argv[1:])
    ingest_file(small, [], IngestConfig(workers=1), out)
    before = peak()
    ingest_file(source, [], IngestConfig(workers=1), out)
    print(peak() - before)
"""


@pytest.fixture
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, rows in (
        (inspection, "_CHUNK_ROWS", 2),
        (inspection, "_BLOCK_ROWS", 5),
        (inspection, "_ROWS_UNDER_WAY", 8),
        (stamped_chunks, "_STAMPED_ROWS", 7),
        (stamped_chunks, "_TASK_ROWS", 3),
        (last_uses, "_SLAB", 3),
        (text_column, "_CHUNK", 4),
    ):
        monkeypatch.setattr(module, name, rows)


def _images(encode: Encode) -> dict[str, bytes]:
    whole = {f"{label}/{number}.png": encode(seed=number) for label in "ABC" for number in range(7)}
    return whole | {"A/cut.png": encode()[:60], "B/small.png": encode(3, 3)}


def _rec(path: Path, images: Mapping[str, bytes]) -> None:
    records = (
        pack_image(ImageRecord((float(ord(name[0])),), number, content))
        for number, (name, content) in enumerate(images.items())
    )
    path.write_bytes(b"".join(map(frame, records)))


def _parquet(path: Path, images: Mapping[str, bytes]) -> None:
    table = pa.table({"image": list(images.values()), "label": [name[0] for name in images]})
    pq.write_table(table, path, row_group_size=10)


def _shards(path: Path, images: Mapping[str, bytes]) -> None:
    path.mkdir()
    for number, (name, content) in enumerate(images.items()):
        members = {f"{number:03d}.png": content, f"{number:03d}.cls": name[0].encode()}
        write_tar(path / f"shard-{number:04d}.tar", members)


@pytest.mark.usefixtures("_small_blocks")
@pytest.mark.parametrize(
    ("name", "write"),
    [("set.tar", write_tar), ("train.rec", _rec), ("set.parquet", _parquet), ("shards", _shards)],
)
def test_it_is_the_manifest_of_an_ingest_in_memory(
    tmp_path: Path, encode: Encode, name: str, write: Callable[[Path, Mapping[str, bytes]], object]
) -> None:
    write(tmp_path / name, _images(encode))
    seen: list[int] = []
    written = ingest_file(
        tmp_path / name,
        [],
        IngestConfig(workers=2),
        tmp_path / "a.parquet",
        progress=lambda done, total, *_: seen.append(done if total == 23 else -1),
    )
    manifest = ingest(tmp_path / name, [], IngestConfig(workers=1))
    write_table(manifest, tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert written.counts == Counter(manifest["status"].to_pylist()) == {"ok": 21, "unreadable": 1, "too_small": 1}
    assert seen == [*sorted(seen[:-1]), 23]


@pytest.mark.usefixtures("_small_blocks")
def test_a_shard_is_closed_behind_its_last_image(
    tmp_path: Path, encode: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    _shards(tmp_path / "shards", _images(encode))
    is_open: set[Path] = set()
    most = 0

    class Watched(containers.TarContainer):
        def __init__(self, path: Path) -> None:
            nonlocal most
            super().__init__(path)
            self.path = path
            is_open.add(path)
            most = max(most, len(is_open))

        def close(self) -> None:
            super().close()
            is_open.remove(self.path)

    monkeypatch.setattr(containers, "CONTAINERS", {**containers.CONTAINERS, "tar": Watched})
    manifest = ingest(tmp_path / "shards", [], IngestConfig(workers=2))
    assert manifest["status"].to_pylist().count("ok") == 21
    assert not is_open
    assert most <= 13  # of 23: those of a block, and of what is under way behind it


@pytest.mark.usefixtures("_small_blocks")
def test_a_table_that_goes_back_to_an_archive_opens_it_once(
    tmp_path: Path, encode: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    for archive in "ab":
        write_tar(tmp_path / f"{archive}.tar", {f"{archive}{k}.png": encode(seed=k) for k in range(12)})
    (tmp_path / "t.csv").write_text("path,label\n" + "".join(f"{a}{k}.png,A\n" for k in range(12) for a in "ab"))
    opened: list[Path] = []

    def open_tar(path: Path) -> containers.TarContainer:
        opened.append(path)
        return containers.TarContainer(path)

    monkeypatch.setattr(containers, "CONTAINERS", {**containers.CONTAINERS, "tar": open_tar})
    manifest = ingest(tmp_path / "t.csv", [tmp_path / "a.tar", tmp_path / "b.tar"], IngestConfig(workers=2))
    assert manifest["status"].to_pylist() == ["ok"] * 24
    assert sorted(path.name for path in opened) == ["a.tar", "b.tar"]


def test_without_a_usable_image_there_is_no_file(tmp_path: Path, write_tree: Write) -> None:
    source = write_tree(tmp_path / "set", {"A/1.png": b"no image", "B/1.png": b""})
    with pytest.raises(InputError, match=r"none of its 2 images can be used \(1 not_an_image, 1 .*first is A/1\.png"):
        ingest_file(source, [], IngestConfig(), tmp_path / "out" / "manifest.parquet")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path, encode: Encode) -> None:
    """Row groups are small here, and soon full: else they would hide what an image takes."""
    content = encode(16, 16)

    def write(name: str, count: int) -> str:
        with (tmp_path / name).open("wb") as file:
            for number in range(count):
                file.write(frame(pack_image(ImageRecord((float(number // 20),), number, content))))
        return str(tmp_path / name)

    def grown(count: int) -> int:
        arguments = [write("few.rec", 10), write("many.rec", count), str(tmp_path / "out.parquet")]
        answer = subprocess.run([sys.executable, "-c", GROWTH, *arguments], check=True, capture_output=True, text=True)
        return int(answer.stdout)

    assert grown(160_000) - grown(20_000) < 100 * 140_000
