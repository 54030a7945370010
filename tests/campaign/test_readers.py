"""Every reader gets damaged and hostile bytes: it answers, or refuses by a message of ours, and nothing else.

``PURIFY_CAMPAIGN`` multiplies the number of inputs.
"""

from __future__ import annotations

import io
import os
import pickle
import random
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from purify.config import IngestConfig, config_from_json, load_config
from purify.embedding.embedding_files import EmbeddingFiles
from purify.errors import PurifyError
from purify.images.decoding import decode_rgb, inspect_image
from purify.images.defects import UnreadableImageError
from purify.ingest.ingest import ingest
from purify.models.state_dicts import read_state_dict
from purify.storage.recordio import ImageRecord, frame, pack_image
from purify.tables.pairs import read_pairs
from purify.tables.reviews import read_reviews

TIMES = int(os.environ.get("PURIFY_CAMPAIGN", "1"))
INPUTS = 40 * TIMES
IDS = [f"{label}/{i}.png" for label in "ab" for i in range(3)]


def mutants(data: bytes, seed: int, count: int) -> list[bytes]:
    """Changed copies: bits flipped, parts cut, zeroed, repeated, exchanged for rubbish or for extreme numbers."""
    rnd = random.Random(seed)
    found = []
    for _ in range(count):
        changed = bytearray(data)
        for _ in range(rnd.choice((1, 1, 2, 8))):
            start = rnd.randrange(len(changed)) if changed else 0
            end = min(len(changed), start + rnd.choice((1, 4, 64, 512, len(changed))))
            match rnd.randrange(7):
                case 0 if changed:
                    changed[start] ^= 1 << rnd.randrange(8)
                case 1:
                    del changed[start:]
                case 2:
                    changed[start:end] = bytes(end - start)
                case 3:
                    changed[start:end] = rnd.randbytes(min(end - start, 64))
                case 4:
                    changed[start:start] = changed[start:end]
                case 5:
                    changed[start : start + 4] = rnd.choice((b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"7777"))
                case _:
                    del changed[start:end]
        found.append(bytes(changed))
    return found


def image(file_format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(1).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, file_format, **options)
    return stream.getvalue()


def tree(folder: Path) -> Path:
    for number, name in enumerate(IDS):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), (40 * number, 9, 9)).save(folder / name)
    return folder


def tar_bytes(folder: Path, form: int) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        for name in IDS:
            archive.add(folder / name, "deep/" * 30 + name if form == tarfile.PAX_FORMAT else name)
    return stream.getvalue()


def zip_bytes(folder: Path) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in IDS:
            archive.write(folder / name, name)
    return stream.getvalue()


def rec_bytes(folder: Path) -> bytes:
    records = [ImageRecord((float(i // 3),), i, (folder / name).read_bytes()) for i, name in enumerate(IDS)]
    return b"".join(frame(pack_image(record)) for record in records)


def parquet_bytes(**columns: object) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream)
    return stream.getvalue()


def ingested(path: Path, root: Path) -> None:
    ingest(path, [root] if path.suffix in (".parquet", ".csv", ".jsonl") else [], IngestConfig(workers=1))


def table_rows() -> bytes:
    return parquet_bytes(path=IDS, label=[name[0] for name in IDS])


@pytest.mark.parametrize(
    "options",
    [("JPEG",), ("JPEG", "progressive"), ("PNG",), ("GIF",), ("WEBP",), ("BMP",), ("PPM",), ("JPEG2000",)],
    ids="-".join,
)
def test_images(options: tuple[str, ...]) -> None:
    whole = image(options[0], **dict.fromkeys(options[1:], True))
    for data in mutants(whole, 1, INPUTS * 5):
        facts = inspect_image(data, min_size=1, max_pixels=1_000_000)
        assert facts.defect is not None or facts.width
        with suppress(UnreadableImageError):
            assert decode_rgb(data, 16).shape == (16, 16, 3)


@pytest.mark.parametrize(
    "kind", ["ustar.tar", "gnu.tar", "pax.tar", "set.zip", "train.rec", "t.parquet", "t.csv", "t.jsonl"]
)
def test_sources(tmp_path: Path, kind: str) -> None:
    root = tree(tmp_path / "root")
    makers: dict[str, Callable[[], bytes]] = {
        "ustar.tar": lambda: tar_bytes(root, tarfile.USTAR_FORMAT),
        "gnu.tar": lambda: tar_bytes(root, tarfile.GNU_FORMAT),
        "pax.tar": lambda: tar_bytes(root, tarfile.PAX_FORMAT),
        "set.zip": lambda: zip_bytes(root),
        "train.rec": lambda: rec_bytes(root),
        "t.parquet": table_rows,
        "t.csv": ("path,label\n" + "".join(f"{name},{name[0]}\n" for name in IDS)).encode,
        "t.jsonl": lambda: "".join(f'{{"path": "{name}", "label": "{name[0]}"}}\n' for name in IDS).encode(),
    }
    _refused_at_most(tmp_path, kind, makers[kind](), lambda path: ingested(path, root), INPUTS)


def test_given_tables(tmp_path: Path) -> None:
    vectors = pa.array(np.random.default_rng(0).normal(size=(6, 8)).tolist(), pa.list_(pa.float32(), 8))
    npy, npz = io.BytesIO(), io.BytesIO()
    np.save(npy, np.ones((6, 8), np.float32))
    np.savez(npz, path=np.array(IDS), embedding=np.ones((6, 8), np.float32))
    pairs = parquet_bytes(a=IDS[:4], b=IDS[2:], same=[1, 0, 1, 0], fold=[0, 0, 1, 1])
    lfw = "".join(f"{label}\t1\t2\n" for label in "ab").encode()
    reviews = parquet_bytes(sample_id=IDS, decision=["keep"] * 6, at=pa.array([2**62] * 6, pa.timestamp("us")))
    names = set(IDS)
    for name, data, read in (
        ("e.parquet", parquet_bytes(path=IDS, embedding=vectors), lambda p: EmbeddingFiles(p).ids()),
        ("e.npy", npy.getvalue(), lambda p: EmbeddingFiles(p).ids()),
        ("e.npz", npz.getvalue(), lambda p: EmbeddingFiles(p).ids()),
        ("pairs.parquet", pairs, lambda p: read_pairs(p, names)),
        ("pairs.txt", lfw, lambda p: read_pairs(p, names)),
        ("reviews.parquet", reviews, read_reviews),
        ("weights.pth", pickle.dumps({"a": 1}), read_state_dict),
        ("weights.safetensors", b"\x10\0\0\0\0\0\0\0" + b'{"a":[1,2]}     ', read_state_dict),
    ):
        _refused_at_most(tmp_path, name, data, read, INPUTS)


def test_settings(tmp_path: Path) -> None:
    toml = b'seed = 3\n[train]\nepochs = 4\nlearning_rate = 0.1\n[ingest]\nimages = ["a"]\ncolumns = {path = "x"}\n'
    _refused_at_most(tmp_path, "c.toml", toml, lambda path: load_config(path, []), INPUTS * 5)
    rnd = random.Random(0)
    odd = [str(2**70), "1e400", "-1", "nan", '"\\ud800"', "[" * 3000, "{}", "null", "''", "1" * 5000, "true", "\0"]
    for _ in range(INPUTS * 2):
        key = rnd.choice(["seed", "train.epochs", "train.margin", "ingest.images", "ingest.columns", "train", "no.key"])
        with suppress(PurifyError):
            config_from_json({}, [f"{key}={rnd.choice(odd)}"], origin="here")


def _refused_at_most(folder: Path, name: str, data: bytes, read: Callable[[Path], object], count: int) -> None:
    """`read` takes each mutant, or refuses it by an error of ours."""
    for number, mutant in enumerate([b"", b"\0" * 600, *mutants(data, 2, count)]):
        path = folder / f"{number}" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(mutant)
        with suppress(PurifyError):
            read(path)
        path.unlink()
