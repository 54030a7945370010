"""Scenarios of labels that look different from several sides: ``python -m benchmarks.looks --out DIR``.

Handwritten digits (of scikit-learn, by their 64 pixels), which are written in several ways, with a fifth and two fifths
of the labels wrong; and drawn things of three looks that have nothing in common, of which 15 % stand under another name
and 5 % are of none. ``DIR/tables`` and ``DIR/embeddings.parquet`` are input of
``python -m benchmarks.detection --scenarios DIR/tables --embeddings DIR/embeddings.parquet``.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import pyarrow as pa

from purify.analysis.search import unit
from purify.arrays import Ids, Vectors
from purify.storage.files import write_table

_THINGS, _LOOKS, _IMAGES, _DIM = 150, 3, 20, 128
#: Cosine of two images of one look.
_LIKENESS = 0.7


def _flipped(true: Ids, share: float, rng: np.random.Generator) -> Ids:
    """Labels [N], so many of them another one."""
    labels = int(true.max()) + 1
    wrong = rng.random(len(true)) < share
    return np.where(wrong, (true + rng.integers(1, labels, len(true))) % labels, true)


def digits(share: float, rng: np.random.Generator) -> tuple[Vectors, Ids, Ids]:
    """Vectors [N, 64] of the digits, their labels and the truth."""
    from sklearn.datasets import load_digits

    found = load_digits()
    return found.data.astype(np.float32), _flipped(found.target, share, rng), found.target


def things(rng: np.random.Generator) -> tuple[Vectors, Ids, Ids]:
    """Vectors [N, 128] of the drawn things, their labels and the truth; -1 for none of them."""
    true = np.repeat(np.arange(_THINGS), _IMAGES)
    looks = unit(rng.normal(size=(_THINGS, _LOOKS, _DIM)))
    vectors = looks[true, rng.integers(0, _LOOKS, len(true))]
    label = _flipped(true, 0.15, rng)
    nobody = (label == true) & (rng.random(len(true)) < 0.05 / 0.85)
    vectors[nobody] = unit(rng.normal(size=(int(nobody.sum()), _DIM)))
    noise = unit(rng.normal(size=vectors.shape))
    rows = np.sqrt(_LIKENESS) * vectors + np.sqrt(1 - _LIKENESS) * noise
    return rows.astype(np.float32), label, np.where(nobody, -1, true)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of the scenarios.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
def main(out: Path, seed: int) -> None:
    """Scenarios of labels with several looks, and their embeddings."""
    rng = np.random.default_rng([seed, 23])
    drawn = {"digits-20": digits(0.2, rng), "digits-40": digits(0.4, rng), "things": things(rng)}
    (out / "tables").mkdir(parents=True, exist_ok=True)
    paths: list[str] = []
    vectors: list[list[float]] = []
    for name, (rows, label, true) in drawn.items():
        own = [f"{name}/{row:05d}.png" for row in range(len(rows))]
        columns = {
            "path": own,
            "label": [f"{one:03d}" for one in label.tolist()],
            "true_label": ["" if one < 0 else f"{one:03d}" for one in true.tolist()],
            "kind": np.select([true < 0, label != true], ["outlier", "flip"], "clean").tolist(),
        }
        write_table(pa.table(columns), out / "tables" / f"{name}.parquet")
        paths += own
        vectors += np.pad(rows, ((0, 0), (0, _DIM - rows.shape[1]))).tolist()
    write_table(
        pa.table({"path": paths, "embedding": pa.array(vectors, pa.list_(pa.float32()))}), out / "embeddings.parquet"
    )


if __name__ == "__main__":
    main()
