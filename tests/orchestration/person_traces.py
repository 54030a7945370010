"""What is known of a person in a run, and a search for it in files: tables, pictures and databases are looked into."""

from __future__ import annotations

import base64
import contextlib
import html
import io
import json
import re
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pyarrow.parquet as pq
from click.testing import CliRunner
from PIL import Image

from purify.cli import main
from purify.models.checkpoint import load_checkpoint
from purify.storage.run_folder import RunFolder

#: The label of the person to forget; parts of it are searched, too.
PERSON = "Zo\u00eb \u014ckami Quillfeather"


@dataclass(frozen=True)
class Traces:
    """What to search for: kind -> bytes, and the pixels of the person's images."""

    terms: dict[str, list[bytes]]
    pictures: np.ndarray

    def found_in(self, files: Sequence[Path]) -> dict[str, list[str]]:
        """Kind -> files that hold it, as they are, in a table, or in a picture inside."""
        found = defaultdict(list)
        for path in files:
            content = path.read_bytes() + _DECODED.get(path.suffix, lambda _: b"")(path)
            for kind, terms in self.terms.items():
                if any(term in content for term in terms):
                    found[kind].append(path.name)
            if any(np.max(self.pictures @ picture) > 0.97 for picture in _pictures_in(content)):
                found["picture"].append(path.name)
        return dict(found)


def _decoded(path: Path) -> bytes:
    """A table's values as text, its lists of numbers as their bytes."""
    table, parts = pq.read_table(path), []
    for name, column in zip(table.column_names, table.columns, strict=True):
        values = column.to_pylist()
        if name == "embedding":
            parts.append(b"".join(np.asarray(row, np.float32).tobytes() for row in values if row is not None))
        else:
            parts += [str(value).encode() for value in values]
    return b"\0".join(parts)


def _rows(path: Path) -> bytes:
    """All values in a SQLite database: long ones are torn to pages in its bytes."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = [row for name in tables for row in database.execute(f'SELECT * FROM "{name}"')]
    return "\0".join(str(value) for row in rows for value in row).encode()


_DECODED = {".parquet": _decoded, ".db": _rows}


def _pictures_in(content: bytes) -> Iterator[np.ndarray]:
    """JPEG, PNG and WebP pictures in a file, as they are or in base64."""
    encoded = re.findall(rb"data:image/\w+;base64,([A-Za-z0-9+/=]+)", content)
    plain = [content[place.start() :] for place in re.finditer(rb"\xff\xd8\xff|\x89PNG\r\n", content)]
    readers = [(base64.b64decode, data) for data in encoded] + [(bytes, data) for data in plain]
    for read, data in readers:
        with contextlib.suppress(OSError, SyntaxError, ValueError):  # torn, or no picture
            yield pixels(read(data))


def pixels(data: bytes) -> np.ndarray:
    """Gray pixels of 16 x 16, of mean 0 and length 1: near pictures have a product near 1."""
    with Image.open(io.BytesIO(data)) as image:
        gray = np.asarray(image.convert("L").resize((16, 16), Image.Resampling.BOX), np.float64).ravel()
    gray -= gray.mean()
    return gray / max(np.linalg.norm(gray), 1e-9)


def purify_command(*arguments: object) -> str:
    """What a command prints; it has to succeed."""
    done = CliRunner().invoke(main, [str(word) for word in arguments])
    assert done.exit_code == 0, done.output
    return done.output


def traces_of(run: RunFolder, source: Path, one: str) -> Traces:
    """All that is known of the person, and of the single image `one`."""
    manifest = pq.read_table(run.manifest).to_pylist()
    gone = [row for row in manifest if row["label"] == PERSON or row["sample_id"] == one]
    ids = {row["sample_id"] for row in gone}
    names = [PERSON, *PERSON.split(), one]
    spelled = {form for name in names for form in (name, name.lower(), quote(name), json.dumps(name)[1:-1])}
    hashes = {row[name] for row in gone for name in ("sha256", "photo_sha256") if row.get(name)}
    pictures = [path.read_bytes() for path in [*(source / PERSON).iterdir(), source / one.partition("#")[0]]]
    vectors = [
        np.asarray(row["embedding"], kind).tobytes()
        for path in run.root.rglob("embeddings.parquet")
        for row in pq.read_table(path).to_pylist()
        if row["sample_id"] in ids
        for kind in (np.float32, np.float16)
    ]
    rows = [
        model.head_weight[model.labels.index(PERSON)].numpy().tobytes()
        for path in run.root.rglob("model.safetensors")
        if PERSON in (model := load_checkpoint(path.parent)).labels
    ]
    terms = {
        "name": [form.encode() for form in spelled | {html.escape(name) for name in names}],
        "id": [form.encode() for name in ids for form in (name, quote(name))],
        "hash": [form for value in hashes for form in (value.encode(), bytes.fromhex(value))],
        "embedding": vectors,
        "center": rows,
    }
    return Traces(terms, np.stack([pixels(data) for data in pictures]))


def files_in(*folders: Path) -> list[Path]:
    """All files in the folders."""
    return [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
