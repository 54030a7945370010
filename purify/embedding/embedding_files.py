"""Embeddings of any extractor, in the forms in which they are stored: rows read a part at a time.

A Parquet file has a column of ids and one of lists of floats. A ``.npy`` [N, D] is memory-mapped and has a list of ids
beside it, a ``.npz`` holds both, a file of tensors either. A folder holds shards of one kind; clip-retrieval's has
``img_emb/img_emb_N.npy`` and ``metadata/metadata_N.parquet``.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import ZipInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from purify.config import EmbeddingsConfig
from purify.embedding.id_lists import as_ids, find_id_list, id_column, load_array, read_id_list
from purify.embedding.text_arrays import read_texts
from purify.errors import InputError
from purify.storage.files import one_line, open_parquet, require_columns
from purify.storage.locations import Location, to_location
from purify.tables.user_tables import to_text

PART_ROWS = 16_384
TENSOR_SUFFIXES = (".pt", ".pth", ".safetensors")
#: Bytes of an unpacked array that any file may have, and how often larger than packed it may be beyond: zeros aside,
#: numbers shrink by half, and texts by twenty.
_UNSUSPICIOUS_BYTES, _MOST_PACKED = 1 << 28, 50
_EMBEDDINGS = (
    "embedding",
    "embeddings",
    "vector",
    "vectors",
    "feature",
    "features",
    "emb",
    "image_embedding",
    "img_emb",
)
_NPZ_IDS = ("sample_ids", "sample_id", "ids", "paths", "path", "image_paths", "filenames", "names", "keys")
#: Columns of a data frame of vectors, and the least number of them.
_NUMBERED, _LEAST_WIDE = re.compile(r"(?P<prefix>\D*)(?P<number>\d+)"), 16
_CLIP_ARRAY = re.compile(r"img_emb_(?P<number>[0-9]+)\.npy")


@dataclass(frozen=True)
class EmbeddingPart:
    """Rows of a file: ids as text, lists of floats, and the number of the first row, from 1."""

    file: Location
    first_row: int
    ids: pa.Array
    embeddings: pa.Array


@dataclass(frozen=True)
class EmbeddingFiles:
    """Embeddings at a place, and how to read them.

    Attributes
    ----------
    place
        A file or a local folder of shards.
    settings
        Names of its columns, and the list of ids of an array.
    """

    place: Location
    settings: EmbeddingsConfig = field(default_factory=EmbeddingsConfig)

    def parts(self) -> Iterator[EmbeddingPart]:
        """Yield all rows in order, at most `PART_ROWS` at a time; InputError if a file can't be used."""
        for file, ids in self._shards():
            yield from _reader(file)(file, ids, self.settings.columns)

    def ids(self) -> list[str]:
        """Ids of all rows, in order."""
        return [sample_id for part in self.parts() for sample_id in part.ids.to_pylist()]

    def inputs(self) -> dict[str, Any]:
        """All that decides what is read, by name, for a fingerprint: the files, and the names of columns."""
        files = [file for shard in self._shards() for file in shard if file is not None]
        named: dict[str, Any] = {f"embeddings {number}": file for number, file in enumerate(files) if number}
        columns = {"embedding columns": self.settings.columns} if self.settings.columns else {}
        return {"embeddings": files[0], **named, **columns}

    def _shards(self) -> list[tuple[Location, Location | None]]:
        """Files of embeddings, each with its list of ids, if there is one."""
        given = to_location(self.settings.ids) if self.settings.ids is not None else None
        if isinstance(self.place, Path) and self.place.is_dir():
            if given is not None:
                raise InputError(
                    f"{self.place}: a list of ids belongs to one file; put one beside each .npy of a folder"
                )
            return _shards_of(self.place)
        return [_with_ids(self.place, given)]


def _with_ids(file: Location, given: Location | None) -> tuple[Location, Location | None]:
    suffix = file.suffix.lower()
    if suffix in _OTHER_FORMS:
        raise InputError(
            f"{file}: embeddings are read from {', '.join(_READERS)} or a folder of these; save yours by np.savez with "
            "ids=[...] and embeddings=[N, D]"
        )
    if suffix not in (".npy", *TENSOR_SUFFIXES):
        return file, None
    if given is None and isinstance(file, Path):
        given = find_id_list(file)
    if given is None and suffix == ".npy":
        raise _nameless(file)
    return file, given


def _nameless(file: Location) -> InputError:
    return InputError(
        f"{file}: whose rows are these? Put the ids, one a line, into {file.stem}.txt beside it, or give "
        "--embedding-ids FILE"
    )


def _reader(file: Location) -> Callable[[Location, Location | None, Mapping[str, str]], Iterator[EmbeddingPart]]:
    return _READERS.get(file.suffix.lower(), _parquet_parts)


def _shards_of(folder: Path) -> list[tuple[Location, Location | None]]:
    arrays = folder / "img_emb" if (folder / "img_emb").is_dir() else folder
    clip = [(path, found) for path in arrays.glob("*.npy") if (found := _CLIP_ARRAY.fullmatch(path.name)) is not None]
    if clip:
        return [(path, _clip_metadata(path, found["number"])) for path, found in sorted(clip, key=_by_number)]
    for suffix in _READERS:
        lists = {find_id_list(path) for path in folder.glob("*.npy")} if suffix == ".npy" else set()
        shards = sorted((path for path in folder.glob(f"*{suffix}") if path not in lists), key=_natural)
        if shards:
            return [_with_ids(path, None) for path in shards]
    raise InputError(f"{folder}: holds no embeddings ({', '.join(_READERS)}, or clip-retrieval's img_emb and metadata)")


def _by_number(shard: tuple[Path, re.Match[str]]) -> int:
    return int(shard[1]["number"])


def _natural(path: Path) -> list[tuple[int, str]]:
    """Order of names with numbers: ``part_2`` before ``part_10``."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name)]


def _clip_metadata(array: Path, number: str) -> Path:
    name = f"metadata_{number}.parquet"
    for folder in (array.parent.parent / "metadata", array.parent):
        if (folder / name).is_file():
            return folder / name
    raise InputError(f"{array}: no {name} in the folder metadata beside it, which names the images")


def _parquet_parts(file: Location, _ids: Location | None, columns: Mapping[str, str]) -> Iterator[EmbeddingPart]:
    with open_parquet(file) as opened:
        id_name, names = parquet_columns(file, opened.schema_arrow, columns)
        row = 1
        try:
            for batch in opened.iter_batches(batch_size=PART_ROWS, columns=[id_name, *names]):
                ids = to_text(file, batch[id_name], id_name)
                yield EmbeddingPart(file, row, ids, float_lists(batch, names))
                row += len(ids)
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{file}: damaged Parquet file: {one_line(error)}") from error


def parquet_columns(file: Location, schema: pa.Schema, columns: Mapping[str, str]) -> tuple[str, list[str]]:
    """Names of the column of ids, and of that of embeddings, or of one column for each number (`_wide_columns`).

    InputError if one is missing or of a wrong type.
    """
    lists = [field.name for field in schema if _is_float_list(field.type)]
    usual = [name for name in _EMBEDDINGS if name in schema.names]
    name = columns.get("embedding") or next(iter([*usual, *(lists if len(lists) == 1 else [])]), "embedding")
    id_name = id_column(schema.names, columns) or "path"
    if name not in schema.names and "embedding" not in columns and (wide := _wide_columns(schema)):
        require_columns(file, schema.names, [id_name])
        return id_name, wide
    require_columns(file, schema.names, [id_name, name])
    kind = schema.field(name).type
    if name not in lists:
        raise InputError(f"{file}: column {name!r} is {kind}, expected lists of float16, float32 or float64")
    to_text(file, pa.array([], schema.field(id_name).type), id_name)
    return id_name, [name]


def _wide_columns(schema: pa.Schema) -> list[str]:
    """Columns ``0``, ``1``, ... or ``feature_0``, ``feature_1``, ... of floats, as a data frame of vectors has them.

    Empty if there are lists of floats, fewer than `_LEAST_WIDE` such columns, or several series of them.
    """
    numbered: dict[str, dict[int, str]] = {}
    for column in schema:
        if _is_float_list(column.type):
            return []
        found = _NUMBERED.fullmatch(column.name)
        if found is not None and pa.types.is_floating(column.type):
            numbered.setdefault(found["prefix"], {})[int(found["number"])] = column.name
    series = [names for names in numbered.values() if len(names) >= _LEAST_WIDE]
    if len(series) != 1 or max(series[0]) - min(series[0]) + 1 != len(series[0]):
        return []
    return [series[0][number] for number in sorted(series[0])]


def float_lists(batch: pa.RecordBatch, names: Sequence[str]) -> pa.Array:
    """The lists of each row: a column of lists, or the values of several columns (`parquet_columns`)."""
    if len(names) == 1:
        return batch[names[0]]
    kind = np.result_type(*(batch[name].type.to_pandas_dtype() for name in names))
    rows = np.stack([batch[name].to_numpy(zero_copy_only=False).astype(kind, copy=False) for name in names], axis=1)
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), len(names))


def _is_float_list(kind: pa.DataType) -> bool:
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return is_list and pa.types.is_floating(kind.value_type)


def _npy_parts(file: Location, ids: Location | None, columns: Mapping[str, str]) -> Iterator[EmbeddingPart]:
    assert ids is not None
    yield from _matrix_parts(file, read_id_list(ids, columns), load_array(file), str(ids))


def _npz_parts(file: Location, _ids: Location | None, columns: Mapping[str, str]) -> Iterator[EmbeddingPart]:
    with load_array(file) as content:
        _refuse_bombs(file, content.zip.infolist())
        names = list(content)
        vectors = columns.get("embedding") or _only([name for name in names if name in _EMBEDDINGS])
        id_name = columns.get("sample_id") or columns.get("path") or _only([n for n in _NPZ_IDS if n in names][:1])
        if vectors not in names or id_name is None or id_name not in names:
            raise InputError(
                f"{file}: needs an array of embeddings and one of ids; name them with --embedding-columns "
                f"path=ARRAY,embedding=ARRAY; it has: {', '.join(names) or 'no arrays'}"
            )
        try:
            arrays = _ids_in(file, content, id_name), content[vectors]
        except InputError:
            raise
        except Exception as error:  # of a damaged file, NumPy and zipfile raise nearly anything
            raise InputError(f"{file}: not plain numbers and texts, or damaged: {error}") from error
    yield from _matrix_parts(file, as_ids(file, arrays[0]), arrays[1], id_name)


def _tensor_parts(file: Location, ids: Location | None, columns: Mapping[str, str]) -> Iterator[EmbeddingPart]:
    within = columns.get("sample_id") or columns.get("path")
    from purify.embedding.tensor_files import read_named_matrix  # PyTorch takes seconds to load

    if not isinstance(file, Path):
        raise InputError(f"{file}: copy the file here first; of tables on a store, Parquet is read")
    found = read_named_matrix(file, embedding=columns.get("embedding"), ids=within if ids is None else None)
    if found.ids is not None:
        yield from _matrix_parts(file, pa.array(found.ids, pa.string()), found.matrix, file.name)
    elif ids is None:
        raise _nameless(file)
    else:
        yield from _matrix_parts(file, read_id_list(ids, columns), found.matrix, str(ids))


def _ids_in(file: Location, content: Any, name: str) -> Any:
    with content.zip.open(f"{name}.npy") as stream:
        texts = read_texts(file, stream)
    return content[name] if texts is None else texts


def _refuse_bombs(file: Location, members: Sequence[ZipInfo]) -> None:
    """InputError if an array that would fill the memory is packed as no numbers are."""
    for member in members:
        if member.file_size > max(_UNSUSPICIOUS_BYTES, _MOST_PACKED * member.compress_size):
            raise InputError(
                f"{file}: {member.filename} unpacks to {member.file_size:,} bytes from {member.compress_size:,}; "
                "save it with np.save, which is read without unpacking"
            )


def _only(names: Sequence[str]) -> str | None:
    return names[0] if len(names) == 1 else None


def _matrix_parts(file: Location, ids: pa.Array, matrix: npt.NDArray, ids_at: str) -> Iterator[EmbeddingPart]:
    if matrix.ndim != 2 or not matrix.shape[1] or matrix.dtype.kind != "f" or matrix.dtype.itemsize > 8:
        raise InputError(f"{file}: is {matrix.dtype} of shape {matrix.shape}, expected float16, 32 or 64 [N, D]")
    if len(ids) != len(matrix):
        raise InputError(f"{file}: {len(matrix)} embeddings, but {len(ids)} ids in {ids_at}; there must be one of each")
    native = matrix.dtype.newbyteorder("=")
    for start in range(0, len(matrix), PART_ROWS):
        part = np.ascontiguousarray(matrix[start : start + PART_ROWS], native)
        lists = pa.FixedSizeListArray.from_arrays(pa.array(part.reshape(-1)), part.shape[1])
        yield EmbeddingPart(file, start + 1, ids.slice(start, len(part)), lists)
        _forget_pages(matrix)


def _forget_pages(matrix: npt.NDArray) -> None:
    """Let the pages of a mapped file go, which count as memory of the process until others need it."""
    if isinstance(matrix.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        matrix.base.madvise(mmap.MADV_DONTNEED)


#: Suffix -> reader of a file with its list of ids, if it has one.
_READERS = {
    ".parquet": _parquet_parts,
    ".npy": _npy_parts,
    ".npz": _npz_parts,
    **dict.fromkeys(TENSOR_SUFFIXES, _tensor_parts),
}
#: Forms that are not read, and would be taken for damaged Parquet.
_OTHER_FORMS = frozenset(".pkl .pickle .csv .tsv .txt .json .jsonl .h5 .hdf5 .mat .feather .arrow".split())  # noqa: SIM905
