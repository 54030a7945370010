"""A small manifest of images of several kinds, and exports of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from purify.storage.locations import file_uri
from purify.tables.schema import MANIFEST
from tests.conftest import Encode

WriteTree = Callable[[Path, Mapping[str, bytes]], Path]


@pytest.fixture(scope="session")
def pictures(encode: Encode) -> dict[str, bytes]:
    """Twelve images of three people, in four formats, by relative name."""
    kinds = (("jpg", "JPEG"), ("png", "PNG"), ("webp", "WEBP"), ("jpeg", "JPEG"))
    return {
        f"{person}/{number}.{suffix}": encode(24, 20 + number, kind, seed=10 * place + number)
        for place, person in enumerate(("Cem", "Ada Lovelace", "B\u00e9la"))
        for number, (suffix, kind) in enumerate(kinds)
    }


@pytest.fixture
def manifest(tmp_path: Path, pictures: Mapping[str, bytes], write_tree: WriteTree) -> Path:
    """A manifest of the pictures as files, and of a file that is none."""
    root = write_tree(tmp_path / "source", pictures)
    return write_manifest(
        tmp_path / "manifest.parquet", [manifest_row(root, name, data) for name, data in pictures.items()]
    )


def manifest_row(root: Path, name: str, data: bytes, **values: object) -> dict[str, object]:
    return {
        "sample_id": name,
        "uri": file_uri(root / name),
        "label": name.split("/", maxsplit=1)[0],
        "width": 24,
        "height": 20,
        "sha256": hashlib.sha256(data).hexdigest(),
        "status": "ok",
        **values,
    }


def write_manifest(path: Path, rows: list[dict[str, object]], **columns: list[object]) -> Path:
    """Write rows and a broken one as a manifest, with further columns."""
    broken = {"sample_id": "Cem/broken.jpg", "label": "Cem", "status": "unreadable", "status_reason": "truncated"}
    table = pa.Table.from_pylist([*rows, broken], schema=MANIFEST)
    for name, values in columns.items():
        kept = [column for column in table.column_names if column != name]
        table = table.select(kept).append_column(name, pa.array([*values, None]))
    pq.write_table(table, path)
    return path


def tree(folder: Path) -> dict[str, bytes]:
    """The files of a folder by relative name."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
