"""Small drawn stand-ins for the files that the documentation names."""

from __future__ import annotations

import csv
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.onnx_model import write_linear_onnx

Draw = Callable[[Path, float, np.random.Generator], None]

#: Appended to the commands that train, since the defaults take minutes.
SHORT_TRAINING = (
    "model.embedding_dim=16",
    "model.input_size=32",
    "train.epochs=2",
    "train.threads=1",
    "train.min_steps=60",
    "train.batch_size=16",
    "train.precision=float32",
    "analyze.threshold=88",
    "evaluate.bootstrap=100",
    "rounds.most=1",
    "invert.steps=4",
    'evaluate.baselines=["raw"]',
)
#: Appended where nothing is said of verification pairs: no models are compared then.
NO_COMPARISON = ("retrain.enabled=false",)

_LABELS = ("Ada", "Ben", "Cem", "Dot", "Eve")
_PER_LABEL = 14
_WRONG = 2


def draw_stand_ins(folder: Path, draw: Draw) -> None:
    """``faces/``, the same as a tar, a nested folder, a table and embeddings; pairs of others; an ONNX model."""
    rng = np.random.default_rng(0)
    rows = []
    for number, label in enumerate(_LABELS):
        for k in range(_PER_LABEL):
            true = number if k >= _WRONG else (number + 1 + k) % len(_LABELS)
            rows.append({"path": f"{label}/{k:02d}.png", "label": label, "true_label": _LABELS[true]})
            draw(folder / "faces" / rows[-1]["path"], np.pi * true / len(_LABELS), rng)
    pq.write_table(pa.Table.from_pylist(rows), folder / "scraped.parquet")
    _write_embeddings(folder, rows, rng)
    with tarfile.open(folder / "faces.tar", "w") as tar:
        tar.add(folder / "faces", "faces")
    for row in rows:
        nested = (
            folder / "nested" / "batch" / row["path"].replace("/", "/more/" if row["path"].endswith("3.png") else "/")
        )
        nested.parent.mkdir(parents=True, exist_ok=True)
        nested.write_bytes((folder / "faces" / row["path"]).read_bytes())
    _write_further_forms(folder, rows)
    _write_second_set(folder, rng)
    _draw_pairs(folder, draw, rng)
    write_linear_onnx(folder / "model.onnx", rng.normal(size=(3 * 16 * 16, 8)), size=16)


def _write_further_forms(folder: Path, rows: list[dict[str, str]]) -> None:
    """The same faces as a zip, in WebDataset shards, in splits and as JSON Lines; a second folder ``more/``."""
    (folder / "shards").mkdir()
    with (
        zipfile.ZipFile(folder / "faces.zip", "w") as archive,
        tarfile.open(folder / "shards" / "shard-000.tar", "w") as first,
        tarfile.open(folder / "shards" / "shard-001.tar", "w") as second,
        (folder / "faces.jsonl").open("w", encoding="utf-8") as lines,
    ):
        for number, row in enumerate(rows):
            path, content = row["path"], (folder / "faces" / row["path"]).read_bytes()
            archive.writestr(path, content)
            lines.write(json.dumps({"file_name": path, "person": row["label"]}) + "\n")
            for ending, data in ((".png", content), (".cls", str(_LABELS.index(row["label"])).encode())):
                member = tarfile.TarInfo(f"{number:06d}{ending}")
                member.size = len(data)
                (second if number % 2 else first).addfile(member, io.BytesIO(data))
            for place in (Path("split") / ("val" if path.endswith("1.png") else "train"), Path("more")):
                (folder / place / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / place / path).write_bytes(content)


def _write_embeddings(folder: Path, rows: list[dict[str, str]], rng: np.random.Generator) -> None:
    people = {label: rng.normal(size=32) for label in _LABELS}
    vectors = np.stack([people[row["true_label"]] + 0.4 * rng.normal(size=32) for row in rows]).astype(np.float32)
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    table = pa.table({"path": [row["path"] for row in rows], "embedding": column})
    pq.write_table(table, folder / "embeddings.parquet")
    pq.write_table(table.rename_columns(["where", "arcface"]), folder / "vectors.parquet")
    np.save(folder / "embeddings.npy", vectors)
    (folder / "ids.txt").write_text("".join(f"{row['path']}\n" for row in rows), encoding="utf-8")
    np.save(folder / "labels.npy", np.array([row["label"] for row in rows]))


def _write_second_set(folder: Path, rng: np.random.Generator) -> None:
    """``train.parquet`` and ``test.parquet`` with their embeddings: people of their own, and two in both."""
    faces = rng.normal(size=(60, 32))
    for name, people in (("train", range(40)), ("test", range(38, 60))):
        paths = [f"{name}/{person}/{k}.png" for person in people for k in range(3)]
        vectors = (faces[np.repeat(people, 3)] + 0.3 * rng.normal(size=(len(paths), 32))).astype(np.float32)
        labels = [path.split("/")[1] + name[0] for path in paths]
        pq.write_table(pa.table({"path": paths, "label": labels}), folder / f"{name}.parquet")
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 32)
        pq.write_table(pa.table({"path": paths, "embedding": column}), folder / f"{name}-embeddings.parquet")


def _draw_pairs(folder: Path, draw: Draw, rng: np.random.Generator) -> None:
    with (folder / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "same", "fold"])
        for k in range(40):
            first, second = k % 5, (k + (k // 5) % 2) % 5
            names = [f"stranger {who}/{k}-{side}.png" for side, who in enumerate((first, second))]
            for name, who in zip(names, (first, second), strict=True):
                draw(folder / "lfw" / name, np.pi * (who + 0.5) / 5, rng)
            writer.writerow([*names, int(first == second), k // 8])
