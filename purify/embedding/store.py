"""Embeddings on disk: read into one array by sample, written part by part.

They are read in all forms of `purify.embedding.embedding_files`. Ours are Parquet with ``sample_id``, ``embedding`` and
``sha256`` of the image's bytes, and name the origin of the vectors in their metadata.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from purify.arrays import Ids, Mask, Vectors
from purify.embedding.embedding_files import PART_ROWS, EmbeddingFiles, EmbeddingPart, float_lists, parquet_columns
from purify.errors import InputError
from purify.storage.files import PARQUET_FORMAT, atomic_path
from purify.storage.locations import Location
from purify.storage.text_index import TextIndex
from purify.tables.schema import embeddings_schema
from purify.tables.user_tables import to_text

#: Metadata key of an embeddings file: the origin of its vectors.
MADE_WITH_KEY = b"purify.embedded_with"
#: The kinds of numbers that need no conversion to be judged.
_AS_STORED = (np.float16, np.float32)
_ROWS = 16_384
_SHOWN = 3


def read_embeddings(source: Location | EmbeddingFiles, sample_ids: Sequence[str]) -> Vectors:
    """Read the embeddings of `sample_ids` -> float32[N, D] in their order.

    A location is a file or folder with usual names; see `EmbeddingFiles`. The rows may be in any order; other samples
    are skipped. Where no id is that of a sample, ids may have one folder in front, as absolute paths have. Rows are
    read a part at a time, and numbered from 1.

    InputError if a file is missing or damaged, lacks a column or one of the ids, or, among the rows asked for, has a
    duplicate id or an embedding that is missing, of another length than the rest, not finite or all zeros.
    """
    files = source if isinstance(source, EmbeddingFiles) else EmbeddingFiles(source)
    matching = _Matching.of(files.place, sample_ids)
    return _filled(_matched(files, matching), len(sample_ids))


class StoredEmbeddings:
    """Embeddings of `sample_ids` [N] in files, float16 or float32 as they are stored: `purify.arrays.StoredVectors`.

    They are checked when it is made, and then read again whenever they are asked for; parameters and errors are those
    of `read_embeddings`.
    """

    def __init__(self, source: Location | EmbeddingFiles, sample_ids: pa.ChunkedArray) -> None:
        self._files = source if isinstance(source, EmbeddingFiles) else EmbeddingFiles(source)
        self._wanted = sample_ids.combine_chunks()
        self._index = TextIndex(self._wanted)
        matching = self._matching()
        for _ in _matched(self._files, matching):
            pass
        self.shape, self.dtype = (len(self._wanted), matching.dim), matching.dtype

    def blocks(self) -> Iterator[tuple[Ids, Vectors]]:
        """Row numbers [n] and vectors [n, D] in the order of the files."""
        for rows, vectors in _matched(self._files, self._matching()):
            yield rows, vectors.astype(self.dtype, copy=False)

    def in_memory(self) -> npt.NDArray[Any]:
        """All vectors, [N, D]."""
        return _filled(self.blocks(), len(self._wanted))

    def _matching(self) -> _Matching:
        return _Matching(self._files.place, self._wanted, self._index, _AS_STORED)


def embedding_defects(source: EmbeddingFiles, sample_ids: pa.ChunkedArray) -> pa.Array:
    """Why each of the `sample_ids` [N] has no usable embedding, as text; null where it has one.

    InputError for errors of the files as a whole, such as ids that occur twice.
    """
    wanted = sample_ids.combine_chunks()
    matching = _Examination(source.place, wanted, TextIndex(wanted), _AS_STORED)
    for _ in _matched(source, matching):
        pass
    return matching.defects()


def _matched(files: EmbeddingFiles, matching: _Matching) -> Iterator[tuple[Ids, npt.NDArray[Any]]]:
    """Places [n] of samples, and their vectors [n, D], part by part; InputError at the end if one has none."""
    for part in files.parts():
        yield from matching.take(part)
    if not matching.count and (folder := _folder_before(files, matching)):
        for part in files.parts():
            inside = pc.starts_with(part.ids, folder)
            ids = pc.if_else(inside, pc.utf8_slice_codeunits(part.ids, len(folder)), pa.scalar(None, pa.string()))
            yield from matching.take(replace(part, ids=ids))
    matching.require_all()


def _filled(matched: Iterable[tuple[Ids, npt.NDArray[Any]]], samples: int) -> npt.NDArray[Any]:
    """The vectors, all of one kind, in the order of so many samples."""
    found: npt.NDArray[Any] | None = None
    for rows, vectors in matched:
        if found is None:
            found = np.empty((samples, vectors.shape[1]), vectors.dtype)
        found[rows] = vectors
    return np.empty((0, 0), np.float32) if found is None else found


def _folder_before(files: EmbeddingFiles, matching: _Matching) -> str:
    """The folder, with its slash, in front of the first id that names a sample; tools write absolute paths."""
    first = next(files.parts(), None)
    for path in [] if first is None else first.ids.to_pylist():
        for slash in re.finditer("/", path or ""):
            if matching.index.row_of(path[slash.end() :]) >= 0:
                return str(path[: slash.end()])
    return ""


def select_embeddings(table: pa.Table, sample_ids: Sequence[str], *, name: str = "embeddings") -> Vectors:
    """Like `read_embeddings`, from a table in memory, called `name` in errors."""
    place = Path(name)
    matching = _Matching.of(place, sample_ids)
    found = _filled((two for part in _parts_of(place, table) for two in matching.take(part)), len(sample_ids))
    matching.require_all()
    return found


def _parts_of(place: Path, table: pa.Table) -> Iterator[EmbeddingPart]:
    id_name, names = parquet_columns(place, table.schema, {})
    row = 1
    for batch in table.select([id_name, *names]).to_batches(max_chunksize=PART_ROWS):
        yield EmbeddingPart(place, row, to_text(place, batch[id_name], id_name), float_lists(batch, names))
        row += len(batch)


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
                pq.ParquetWriter(stream, self._schema, use_dictionary=False, **PARQUET_FORMAT)
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


class _Matching:
    """Finds the `wanted` ids, by their `index`, among the rows of a file, and checks these rows.

    ``dim`` and ``dtype`` are those of the embeddings so far: of several of the `kinds`, the widest one.
    """

    def __init__(
        self,
        path: Location,
        wanted: pa.Array,
        index: TextIndex,
        kinds: Sequence[type[np.floating]],
    ) -> None:
        self.wanted, self.index = wanted, index
        self.dim, self.dtype = 0, np.dtype(kinds[0])
        self._path, self._kinds = path, kinds
        self._seen = np.zeros(len(wanted), np.bool_)

    @classmethod
    def of(cls, path: Location, sample_ids: Sequence[str]) -> Self:
        """Of ids that are looked up once, as float32."""
        wanted = pa.array(sample_ids, pa.string())
        return cls(path, wanted, TextIndex(wanted), (np.float32,))

    def take(self, part: EmbeddingPart) -> Iterator[tuple[Ids, npt.NDArray[Any]]]:
        """Places [n] among the wanted ids, and vectors [n, D], of the wanted rows of a part, if there are any."""
        target = self.index.find(part.ids)
        present = target >= 0
        rows = part.first_row + np.flatnonzero(present)
        if not len(rows):
            return
        target = target[present]
        self._note_rows(part.file, target, rows)
        there = part.embeddings.filter(pa.array(present))
        missing = there.is_null().to_numpy(zero_copy_only=False)
        known = self._without(part.file, missing, rows, target, "the embedding is missing")
        if not known.any():
            return
        target, rows = target[known], rows[known]
        vectors = self._to_matrix(part.file, there.filter(pa.array(known)), rows)
        self.dim, self.dtype = vectors.shape[1], max(self.dtype, vectors.dtype, key=lambda kind: kind.itemsize)
        unknown, zero = np.asarray(~np.isfinite(vectors).all(axis=1)), np.asarray(~vectors.any(axis=1))
        good = self._without(
            part.file, unknown, rows, target, "the embedding has a value that is missing or not finite"
        )
        good &= self._without(part.file, zero, rows, target, "the embedding is all zeros, so it has no direction")
        yield (target, vectors) if good.all() else (target[good], vectors[good])

    @property
    def count(self) -> int:
        """Number of samples with an embedding so far."""
        return int(self._seen.sum())

    def require_all(self) -> None:
        """InputError if an id lacks its embedding."""
        missing = np.flatnonzero(~self._seen)
        if len(missing):
            names = ", ".join(self.wanted.take(pa.array(missing[:_SHOWN])).to_pylist())
            raise InputError(
                f"{self._path}: no embedding for {len(missing)} of {len(self._seen)} samples, such as {names}; "
                "its ids must be those of the manifest"
            )

    def _note_rows(self, file: Location, target: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> None:
        _, first = np.unique(target, return_index=True)
        again = np.setdiff1d(np.arange(len(target)), first)
        again = np.union1d(again, np.flatnonzero(self._seen[target]))
        if len(again):
            sample_id = self.wanted[int(target[again[0]])].as_py()
            raise InputError(f"{file}: row {rows[again[0]]}: {sample_id} occurs twice; leave one out")
        self._seen[target] = True

    def _without(self, file: Location, bad: Mask, rows: Ids, target: Ids, why: str) -> Mask:
        """Mask [n] of the rows to use: all of them, unless this is an error."""
        _refuse(file, bad, rows, why)
        return ~bad

    def _to_matrix(self, file: Location, embeddings: pa.Array, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Lists of floats -> [n, D], float32 or one of the given kinds."""
        lengths = pc.list_value_length(embeddings).to_numpy()
        dim = self.dim or int(lengths[0])
        if not dim:
            raise InputError(f"{file}: row {rows[0]}: the embedding is empty")
        _refuse(file, lengths != dim, rows, f"the embedding has another length than those before it ({dim})")
        values = embeddings.flatten().to_numpy(zero_copy_only=False)  # a missing value becomes NaN
        with np.errstate(over="ignore"):
            kind = values.dtype if values.dtype in self._kinds else np.dtype(np.float32)
            return values.astype(kind, copy=False).reshape(-1, dim)


class _Examination(_Matching):
    """Notes what is wrong with rows instead of refusing them."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._why = np.full(len(self.wanted), "", dtype=object)

    def defects(self) -> pa.Array:
        """What is wrong with the embedding of each wanted id; null: nothing."""
        why = np.where(self._seen, self._why, "there is none")
        return pa.array(why, pa.string(), mask=why == "")

    def require_all(self) -> None:
        """Ids may lack an embedding."""

    def _without(self, file: Location, bad: Mask, rows: Ids, target: Ids, why: str) -> Mask:
        self._why[target[bad]] = why
        return ~bad


def _refuse(file: Location, bad: npt.NDArray[np.bool_], rows: npt.NDArray[np.int64], what: str) -> None:
    if bad.any():
        more = f" ({bad.sum()} such rows)" if bad.sum() > 1 else ""
        raise InputError(f"{file}: row {rows[int(np.argmax(bad))]}: {what}{more}; correct it or leave it out")
