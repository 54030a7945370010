"""Parquet files of embeddings: read into one array by sample, written part by part.

A file of any extractor has ``sample_id`` (or ``path``) and ``embedding``, a list of floats. Ours also have ``sha256``
of the image's bytes, and name the origin of the vectors in their metadata.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from purify.arrays import Vectors
from purify.errors import InputError
from purify.storage.files import atomic_path, is_text, one_line, open_parquet, require_columns
from purify.storage.locations import Location
from purify.tables.schema import embeddings_schema

#: Metadata key of an embeddings file: the origin of its vectors.
MADE_WITH_KEY = b"purify.embedded_with"
_ROWS = 16_384
_SHOWN = 3


def read_embeddings(path: Location, sample_ids: Sequence[str]) -> Vectors:
    """Read the embeddings of `sample_ids` -> float32[N, D] in their order.

    Rows of the file may be in any order; other samples are skipped. It is read a batch at a time. InputError if the
    file is missing or damaged, lacks a column or one of the ids, or, among the rows asked for, has a duplicate id or an
    embedding that is missing, of another length than the rest, not finite or all zeros. Rows are numbered from 1.
    """
    with open_parquet(path) as file:
        id_column = _check_columns(path, file.schema_arrow)
        gathering = _Gathering(path, sample_ids)
        try:
            for batch in file.iter_batches(batch_size=_ROWS, columns=[id_column, "embedding"]):
                gathering.add(batch[id_column], batch["embedding"])
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{path}: damaged Parquet file: {one_line(error)}") from error
    return gathering.finish()


def select_embeddings(table: pa.Table, sample_ids: Sequence[str], *, name: str = "embeddings") -> Vectors:
    """Like `read_embeddings`, from a table in memory, called `name` in errors."""
    id_column = _check_columns(Path(name), table.schema)
    gathering = _Gathering(Path(name), sample_ids)
    for batch in table.select([id_column, "embedding"]).to_batches(max_chunksize=_ROWS):
        gathering.add(batch[id_column], batch["embedding"])
    return gathering.finish()


class EmbeddingWriter:
    """Writes an embeddings file in the order of the calls; the file appears when the ``with`` block succeeds.

    Equal rows give equal bytes, regardless of the parts. `made_with` identifies the model and settings behind the
    vectors of length `dim`, for `purify.embedding.reuse`.
    """

    def __init__(self, path: Path, dim: int, *, made_with: str | None = None) -> None:
        self._path = path
        self._dim = dim
        schema = embeddings_schema(dim)
        further = {} if made_with is None else {MADE_WITH_KEY: made_with.encode()}
        self._schema = schema.with_metadata({**schema.metadata, **further})
        self._stack = ExitStack()
        self._pending: list[pa.Table] = []

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stream = stack.enter_context(stack.enter_context(atomic_path(self._path)).open("wb"))
            self._writer = stack.enter_context(
                pq.ParquetWriter(stream, self._schema, compression="zstd", version="2.6", use_dictionary=False)
            )
            self._stack = stack.pop_all()
        return self

    def write(self, sample_ids: Sequence[str], vectors: Vectors, hashes: Sequence[str | None] | None = None) -> None:
        """Append ``vectors[n, dim]`` of `sample_ids`, and the hashes of the images' bytes where known."""
        if vectors.shape != (len(sample_ids), self._dim):
            raise ValueError(f"vectors have the shape {vectors.shape}, expected {(len(sample_ids), self._dim)}")
        values = pa.array(np.ascontiguousarray(vectors, np.float32).reshape(-1))
        embedding = pa.FixedSizeListArray.from_arrays(values, self._dim)
        sha256 = pa.nulls(len(sample_ids), pa.string()) if hashes is None else pa.array(hashes, pa.string())
        self._pending.append(pa.table([pa.array(sample_ids, pa.string()), embedding, sha256], schema=self._schema))
        self._flush(least=_ROWS)

    def _flush(self, *, least: int) -> None:
        """Write whole row groups while at least `least` rows are pending."""
        rows = pa.concat_tables(self._pending) if self._pending else self._schema.empty_table()
        while len(rows) >= least and len(rows):
            self._writer.write_table(rows.slice(0, _ROWS).combine_chunks(), row_group_size=_ROWS)
            rows = rows.slice(_ROWS)
        self._pending = [rows]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            if error is not None:
                raise error
            self._flush(least=1)


class _Gathering:
    """Collects embeddings in the order of the wanted ids."""

    def __init__(self, path: Location, sample_ids: Sequence[str]) -> None:
        self._path = path
        self._wanted = pa.array(sample_ids, pa.string())
        self._row = np.zeros(len(sample_ids), np.int64)  # 1-based row of the file; 0: not seen yet
        self._vectors: Vectors | None = None
        self._read = 0

    def add(self, ids: pa.Array, embeddings: pa.Array) -> None:
        """Collect the wanted rows from the next batch of the file."""
        position = pc.index_in(ids.cast(pa.string()), self._wanted)
        present = position.is_valid()
        rows = self._read + 1 + np.flatnonzero(present.to_numpy(zero_copy_only=False))
        self._read += len(ids)
        if not len(rows):
            return
        target = position.filter(present).to_numpy().astype(np.int64)
        self._note_rows(target, rows)
        vectors = self._to_matrix(embeddings.filter(present), rows)
        if self._vectors is None:
            self._vectors = np.empty((len(self._row), vectors.shape[1]), np.float32)
        self._vectors[target] = vectors

    def finish(self) -> Vectors:
        """All vectors; InputError if an id lacks one."""
        missing = np.flatnonzero(self._row == 0)
        if len(missing):
            names = ", ".join(self._wanted.take(pa.array(missing[:_SHOWN])).to_pylist())
            raise InputError(
                f"{self._path}: no embedding for {len(missing)} of {len(self._row)} samples, such as {names}; "
                "its ids must be those of the manifest"
            )
        return np.empty((0, 0), np.float32) if self._vectors is None else self._vectors

    def _note_rows(self, target: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> None:
        _, first = np.unique(target, return_index=True)
        again = np.setdiff1d(np.arange(len(target)), first)
        again = np.union1d(again, np.flatnonzero(self._row[target]))
        if len(again):
            sample_id = self._wanted[int(target[again[0]])].as_py()
            raise InputError(f"{self._path}: row {rows[again[0]]}: {sample_id} occurs twice; leave one out")
        self._row[target] = rows

    def _to_matrix(self, embeddings: pa.Array, rows: npt.NDArray[np.int64]) -> Vectors:
        """Lists of floats -> checked float32[n, D]."""
        self._refuse(embeddings.is_null().to_numpy(zero_copy_only=False), rows, "the embedding is missing")
        lengths = pc.list_value_length(embeddings).to_numpy()
        dim = int(lengths[0]) if self._vectors is None else self._vectors.shape[1]
        if not dim:
            raise InputError(f"{self._path}: row {rows[0]}: the embedding is empty")
        wrong = lengths != dim
        self._refuse(wrong, rows, f"the embedding has another length than those before it ({dim})")
        values = embeddings.flatten().to_numpy(zero_copy_only=False)  # a missing value becomes NaN
        with np.errstate(over="ignore"):
            matrix = values.astype(np.float32, copy=False).reshape(-1, dim)
        self._refuse(~np.isfinite(matrix).all(axis=1), rows, "the embedding has a value that is missing or not finite")
        self._refuse(~matrix.any(axis=1), rows, "the embedding is all zeros, so it has no direction")
        return matrix

    def _refuse(self, bad: npt.NDArray[np.bool_], rows: npt.NDArray[np.int64], what: str) -> None:
        if bad.any():
            more = f" ({bad.sum()} such rows)" if bad.sum() > 1 else ""
            raise InputError(f"{self._path}: row {rows[int(np.argmax(bad))]}: {what}{more}; correct it or leave it out")


def _check_columns(path: Location, schema: pa.Schema) -> str:
    """Name of the id column; InputError if a column is missing or of a wrong type."""
    id_column = "sample_id" if "sample_id" in schema.names else "path"
    require_columns(path, schema.names, [id_column, "embedding"])
    kind = schema.field("embedding").type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not (is_list and pa.types.is_floating(kind.value_type)):
        raise InputError(f"{path}: column 'embedding' is {kind}, expected lists of float16, float32 or float64")
    kind = schema.field(id_column).type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if not (is_text(kind) or pa.types.is_integer(kind)):
        raise InputError(f"{path}: column {id_column!r} is {kind}, expected text; write it as strings")
    return id_column
