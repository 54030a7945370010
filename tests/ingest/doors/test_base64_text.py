"""Text files with an image in base64 on each line as sources."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from purify.config import IngestConfig
from purify.errors import InputError
from purify.ingest.ingest import ingest, ingest_again
from purify.storage.image_bytes import ImageByteReader

Encode = Callable[..., bytes]


def write_lines(path: Path, lines: Sequence[Sequence[str]], end: str = "\n") -> Path:
    path.write_bytes("".join("\t".join(line) + end for line in lines).encode())
    return path


def encoded(image: bytes) -> str:
    return base64.b64encode(image).decode()


def contents(manifest: pa.Table) -> list[bytes]:
    with ImageByteReader() as reader:
        return [reader.read(uri) for uri in manifest["uri"].to_pylist()]


def rows_of(manifest: pa.Table, *names: str) -> list[tuple]:
    return list(zip(*(manifest[name].to_pylist() for name in names), strict=True))


@pytest.fixture
def images(encode: Encode) -> list[bytes]:
    return [encode(seed=seed, file_format="JPEG") for seed in range(4)]


def celebrity(who: str, image: bytes) -> list[str]:
    """A line of MS-Celeb-1M's aligned faces."""
    return [who, "0", "https://x/1.jpg", "https://x/é", "FaceId-0", encoded(b"\0" * 16), encoded(image)]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_ms_celeb(tmp_path: Path, images: list[bytes], config: IngestConfig, end: str) -> None:
    people = ["m.0107_f", "m.0107_f", "m.02", "m.02"]
    lines = [celebrity(who, image) for who, image in zip(people, images, strict=True)]
    manifest = ingest(write_lines(tmp_path / "FaceImages.tsv", lines, end), [], config)
    assert rows_of(manifest, "sample_id", "label", "status") == [
        (f"FaceImages.tsv#{k}/{who}/0-FaceId-0", who, "ok") for k, who in enumerate(people)
    ]
    assert contents(manifest) == images


def test_columns_by_number_and_by_name(tmp_path: Path, images: list[bytes]) -> None:
    lines = [[encoded(image), encoded(images[0]), f"p{k % 2}"] for k, image in enumerate(images)]
    by_number = IngestConfig(columns={"image": "0", "label": "2"})
    manifest = ingest(write_lines(tmp_path / "a.tsv", lines), [], by_number)
    assert manifest["label"].to_pylist() == ["p0", "p1", "p0", "p1"]
    assert contents(manifest) == images
    headed = write_lines(tmp_path / "b.tsv", [["face", "thumb", "who"], *lines])
    again = ingest(headed, [], IngestConfig(columns={"image": "face", "label": "who"}))
    assert again["label"].equals(manifest["label"])
    assert contents(again) == images
    with pytest.raises(InputError, match=r"no column 'whom' for label"):
        ingest(headed, [], IngestConfig(columns={"image": "face", "label": "whom"}))
    with pytest.raises(InputError, match=r"no column '3' for label; the lines have 3 columns"):
        ingest(tmp_path / "a.tsv", [], IngestConfig(columns={"image": "0", "label": "3"}))


def test_a_column_called_label(tmp_path: Path, images: list[bytes], config: IngestConfig) -> None:
    lines = [["id", "image", "label"], *([str(k), encoded(image), "ab"[k % 2]] for k, image in enumerate(images))]
    assert ingest(write_lines(tmp_path / "a.tsv", lines), [], config)["label"].to_pylist() == ["a", "b", "a", "b"]


def test_bad_lines_are_rows(tmp_path: Path, images: list[bytes], config: IngestConfig) -> None:
    lines = [celebrity(f"m.{k}", image) for k, image in enumerate(images)]
    lines[1] = lines[1][:4]
    lines[2][6] = lines[2][6][:-5] + "!"
    lines[3][0] = " "
    manifest = ingest(write_lines(tmp_path / "a.tsv", lines), [], config)
    assert manifest["status"].to_pylist() == ["ok", "unreadable", "unreadable", "no_label"]
    assert "has 4 columns, the first one 7" in manifest["status_reason"][1].as_py()
    assert "not an image in base64" in manifest["status_reason"][2].as_py()


def test_a_cut_file_has_one_bad_line(tmp_path: Path, images: list[bytes], config: IngestConfig) -> None:
    path = write_lines(tmp_path / "a.tsv", [celebrity(f"m.{k}", image) for k, image in enumerate(images)])
    path.write_bytes(path.read_bytes()[:-90])
    ingested = ingest_again(path, [], config, known=None)
    assert ingested.manifest["status"].to_pylist() == ["ok", "ok", "ok", "unreadable"]


def test_other_text_is_left_to_other_doors(tmp_path: Path, config: IngestConfig) -> None:
    (tmp_path / "a.txt").write_text("faces\tand names\n")
    with pytest.raises(InputError, match=r"none of its 1 paths"):  # a list of paths and labels
        ingest(tmp_path / "a.txt", [], config)
    (tmp_path / "b.tsv").write_bytes(b"")
    with pytest.raises(InputError, match="empty file"):
        ingest(tmp_path / "b.tsv", [], IngestConfig(format="tsv"))
