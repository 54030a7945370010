"""Drawn embeddings of any size, as files: people on a sphere, a share of flips and of strangers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.lib.format
import pyarrow as pa
import pyarrow.parquet as pq

from purify.arrays import Ids, Mask, Vectors

_FLIPS, _STRANGERS, _SPREAD = 0.2, 0.1, 1.2
_ROWS = 16_384


@dataclass(frozen=True)
class DrawnSet:
    """`labels` of `images` images each, `dim` long: normal around a center for each person; `idlength` characters."""

    labels: int
    images: int
    dim: int
    seed: int = 0
    id_length: int = 24

    @property
    def rows(self) -> int:
        """N."""
        return self.labels * self.images

    def truth(self) -> tuple[Ids, Ids]:
        """Given and true labels [N]; -1: a stranger."""
        given = np.repeat(np.arange(self.labels), self.images)
        rng = np.random.default_rng([self.seed, 1])
        draw = rng.random(self.rows)
        flipped = rng.integers(0, self.labels, self.rows)
        stranger = (draw >= _FLIPS) & (draw < _FLIPS + _STRANGERS)
        return given, np.where(stranger, -1, np.where(draw < _FLIPS, flipped, given))

    def wrong(self) -> Mask:
        """Mask [N] of the wrong labels."""
        given, true = self.truth()
        return given != true

    def ids(self, rows: range) -> list[str]:
        """Ids of the rows."""
        return [f"p{row // self.images:09d}/{row:0{self.id_length - 15}d}.jpg" for row in rows]

    def blocks(self) -> Iterator[tuple[range, Vectors]]:
        """Rows and their embeddings, float16."""
        _, true = self.truth()
        centers = np.random.default_rng([self.seed, 2]).normal(size=(self.labels, self.dim)).astype(np.float32)
        for start in range(0, self.rows, _ROWS):
            rows = range(start, min(start + _ROWS, self.rows))
            rng = np.random.default_rng([self.seed, 3, start])
            person = true[rows.start : rows.stop]
            drawn = rng.standard_normal((len(rows), self.dim), np.float32)
            strangers = rng.standard_normal((len(rows), self.dim), np.float32)
            around = np.where(person[:, None] >= 0, centers[person], strangers)
            yield rows, (around + _SPREAD * drawn).astype(np.float16)

    def write(self, folder: Path) -> None:
        """``embeddings.npy`` (float16) with ``embeddings.txt``, and the table ``set.parquet`` of paths and labels."""
        out = numpy.lib.format.open_memmap(
            folder / "embeddings.npy", mode="w+", dtype=np.float16, shape=(self.rows, self.dim)
        )
        schema = pa.schema([("path", pa.string()), ("label", pa.string())])
        with (
            (folder / "embeddings.txt").open("w", encoding="utf-8") as names,
            pq.ParquetWriter(folder / "set.parquet", schema) as table,
        ):
            for rows, vectors in self.blocks():
                out[rows.start : rows.stop] = vectors
                ids = self.ids(rows)
                names.writelines(f"{sample_id}\n" for sample_id in ids)
                table.write_table(pa.table([ids, [sample_id.partition("/")[0] for sample_id in ids]], schema=schema))
        out.flush()
