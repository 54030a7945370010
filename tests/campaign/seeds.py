"""Small whole files of every kind that a reader of the package takes: what the campaign damages."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from purify.storage.recordio import ImageRecord, frame, index_line, list_line, pack_image

IDS = [f"{label}/{i}.png" for label in "ab" for i in range(3)]


def image(file_format: str, **options: object) -> bytes:
    """A picture of noise."""
    stream = io.BytesIO()
    pixels = np.random.default_rng(1).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, file_format, **options)
    return stream.getvalue()


def deep_png() -> bytes:
    """A PNG of 16 bits a sample."""
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 65535, (24, 24), dtype=np.uint16)).save(stream, "PNG")
    return stream.getvalue()


def turned_jpeg() -> bytes:
    """A JPEG with an EXIF orientation and a comment."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return image("JPEG", exif=exif.tobytes(), comment=b"hello")


def tree(folder: Path) -> Path:
    """Two labels of three pictures."""
    for number, name in enumerate(IDS):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), (40 * number, 9, 9)).save(folder / name)
    return folder


def tar_bytes(folder: Path, form: int) -> bytes:
    """A tar of `tree`, with long names in the PAX form."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        for name in IDS:
            archive.add(folder / name, "deep/" * 30 + name if form == tarfile.PAX_FORMAT else name)
    return stream.getvalue()


def shard_bytes(folder: Path) -> bytes:
    """A shard of WebDataset: an image, a class and a JSON file for each sample."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for number, name in enumerate(IDS):
            label = name[0]
            members = {
                "png": (folder / name).read_bytes(),
                "cls": str(number // 3).encode(),
                "json": json.dumps({"label": label, "n": number}).encode(),
            }
            for suffix, content in members.items():
                member = tarfile.TarInfo(f"{number:05d}.{suffix}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def zip_bytes(folder: Path) -> bytes:
    """A zip of `tree`, half of its members deflated."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, name in enumerate(IDS):
            archive.write(folder / name, name, zipfile.ZIP_STORED if number % 2 else zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def rec_bytes(folder: Path) -> bytes:
    """Records of `tree`."""
    return b"".join(_records(folder))


def idx_bytes(folder: Path) -> bytes:
    """The index of `rec_bytes`."""
    place, lines = 0, []
    for number, record in enumerate(_records(folder)):
        lines.append(index_line(number, place))
        place += len(record)
    return "".join(lines).encode()


def lst_bytes() -> bytes:
    """The list of `rec_bytes`."""
    return "".join(list_line(name, number // 3) for number, name in enumerate(IDS)).encode()


def parquet_bytes(**columns: object) -> bytes:
    """A Parquet file, with page checksums as a run's tables have them."""
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream, write_page_checksum=True)
    return stream.getvalue()


def arrow_bytes(folder: Path) -> bytes:
    """A stream of record batches with images, as the Hugging Face library saves them."""
    stream = io.BytesIO()
    table = pa.table({"image": [(folder / name).read_bytes() for name in IDS], "label": [name[0] for name in IDS]})
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    return stream.getvalue()


def vectors() -> pa.Array:
    """An embedding for each of `IDS`."""
    return pa.array(np.random.default_rng(0).normal(size=(6, 8)).tolist(), pa.list_(pa.float32(), 8))


def npy_bytes() -> bytes:
    """The same as an array."""
    stream = io.BytesIO()
    np.save(stream, np.ones((6, 8), np.float32))
    return stream.getvalue()


def npz_bytes() -> bytes:
    """The same with their names."""
    stream = io.BytesIO()
    np.savez(stream, path=np.array(IDS), embedding=np.ones((6, 8), np.float32))
    return stream.getvalue()


def _records(folder: Path) -> list[bytes]:
    return [
        frame(pack_image(ImageRecord((float(i // 3),), i, (folder / name).read_bytes()))) for i, name in enumerate(IDS)
    ]
