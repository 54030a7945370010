"""Reuse of embeddings: equal bytes under the same model and settings are not embedded again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from purify.arrays import Vectors
from purify.embedding.store import MADE_WITH_KEY, read_embeddings
from purify.errors import InputError
from purify.storage.files import open_parquet, read_columns

_KEYS = ("sample_id", "sha256")


@dataclass(frozen=True)
class KnownEmbeddings:
    """Rows of an embeddings file: ``vectors[N, D]``, with ``sample_id`` and ``sha256`` of the image as `keys`."""

    keys: pa.Table
    vectors: Vectors

    def covers(self, rows: pa.Table) -> bool:
        """Whether these are the embeddings of exactly `rows` of a manifest, in their order."""
        return self.keys.equals(rows.select(_KEYS))

    def place(self, rows: pa.Table) -> npt.NDArray[np.int64]:
        """Row of the known embedding for each row of a manifest; -1 without one."""
        found = pc.index_in(rows["sha256"].combine_chunks(), self.keys["sha256"].combine_chunks(), skip_nulls=True)
        return pc.fill_null(found, -1).to_numpy().astype(np.int64)


def known_embeddings(path: Path, made_with: str) -> KnownEmbeddings | None:
    """The embeddings in a file made with `made_with`; None if it is missing, damaged, or made otherwise."""
    if not path.exists():
        return None
    try:
        with open_parquet(path) as file:
            if (file.schema_arrow.metadata or {}).get(MADE_WITH_KEY) != made_with.encode():
                return None
            keys = read_columns(path, file, _KEYS)
        return KnownEmbeddings(keys, read_embeddings(path, keys["sample_id"].to_pylist()))
    except InputError:
        return None


def merge(
    known: KnownEmbeddings, place: npt.NDArray[np.int64], fresh: Iterator[Vectors], *, part: int
) -> Iterator[Vectors]:
    """Yield the embeddings of all rows in order, `part` at a time: known ones, and `fresh` ones where `place` is -1."""
    waiting = np.empty((0, known.vectors.shape[1]), np.float32)
    for start in range(0, len(place), part):
        rows = place[start : start + part]
        missing = rows < 0
        while len(waiting) < missing.sum():
            waiting = np.concatenate([waiting, next(fresh)])
        vectors = known.vectors[rows]
        vectors[missing] = waiting[: missing.sum()]
        waiting = waiting[missing.sum() :]
        yield vectors
