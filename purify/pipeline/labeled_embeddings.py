"""Users' embeddings and labels (arrays, data frames, files) -> rows to judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from purify.arrays import Vectors
from purify.embedding.embedding_files import EmbeddingFiles
from purify.embedding.id_lists import find_id_list, load_array
from purify.embedding.store import read_embeddings, select_embeddings
from purify.errors import InputError
from purify.report.shown_images import with_images
from purify.storage.locations import to_location
from purify.tables.manifest import load_manifest, ok_rows
from purify.tables.schema import MANIFEST, Status

_ID_COLUMNS = ("sample_id", "path")


@dataclass(frozen=True)
class LabeledEmbeddings:
    """Rows to judge: `manifest` (schema `MANIFEST`), and the embeddings [N, D] of its ok rows in their order."""

    manifest: pa.Table
    embeddings: Vectors

    @property
    def rows(self) -> pa.Table:
        """The ok rows."""
        return ok_rows(self.manifest)


def combine(embeddings: Any, labels: Any, ids: Sequence[str] | None, images: Any) -> LabeledEmbeddings:
    """Match embeddings to labels by id, or row by row where either has no ids; see `find_label_errors`."""
    embeddings, labels = _opened(embeddings), _table_or_self(labels)
    manifest = _manifest_of(labels, ids, embeddings)
    if images is not None:
        roots = [images] if isinstance(images, str | Path) else images
        manifest = with_images(manifest, [to_location(str(root)) for root in roots])
    return LabeledEmbeddings(manifest, _vectors(embeddings, ok_rows(manifest)["sample_id"].to_pylist()))


def _opened(embeddings: Any) -> Any:
    """Files as `EmbeddingFiles`, an array file without ids as the array, a DataFrame as a table; others unchanged."""
    if not isinstance(embeddings, str | Path):
        return _table_or_self(embeddings)
    place = to_location(str(embeddings))
    if isinstance(place, Path) and place.suffix.lower() == ".npy" and find_id_list(place) is None:
        return load_array(place)
    return EmbeddingFiles(place)


def _table_or_self(value: Any) -> Any:
    """A DataFrame as a table; anything else unchanged."""
    if type(value).__module__.split(".")[0] == "pandas" and hasattr(value, "columns"):
        return pa.Table.from_pandas(value, preserve_index=False)
    return value


def _manifest_of(labels: Any, ids: Sequence[str] | None, embeddings: Any) -> pa.Table:
    if isinstance(labels, str | Path):
        if ids is not None:
            raise InputError("ids: leave them out where labels is a file, whose path or sample_id names the rows")
        return load_manifest(to_location(str(labels)))
    values, truth = labels, None
    if isinstance(labels, pa.Table):
        if "label" not in labels.column_names:
            raise InputError(f"labels: missing column label; the table has: {', '.join(labels.column_names)}")
        values, column = labels["label"], _id_column(labels)
        truth = labels["true_label"] if "true_label" in labels.column_names else None
        ids = labels[column].to_pylist() if ids is None and column else ids
    texts = _texts("labels", values)
    names = _texts("ids", _ids_beside(embeddings, len(texts)) if ids is None else ids)
    _check_rows(texts, names)
    empty = [None] * len(texts)
    columns: dict[str, Any] = dict.fromkeys(MANIFEST.names, empty) | {"sample_id": names, "label": texts}
    columns |= {"status": [Status.OK.value] * len(texts), "true_label": empty if truth is None else truth.to_pylist()}
    return pa.table(columns, schema=MANIFEST)


def _ids_beside(embeddings: Any, rows: int) -> list[Any]:
    """Ids of the embeddings, or row numbers, zero-padded to sort in row order."""
    if isinstance(embeddings, EmbeddingFiles):
        return embeddings.ids()
    if column := _id_column(embeddings):
        return list(embeddings[column].to_pylist())
    width = len(str(max(rows - 1, 0)))
    return [f"{row:0{width}}" for row in range(rows)]


def _id_column(table: Any) -> str | None:
    if not isinstance(table, pa.Table):
        return None
    return next((name for name in _ID_COLUMNS if name in table.column_names), None)


def _texts(name: str, values: Any) -> list[str]:
    """Values of any sequence as text; whole numbers as their digits."""
    arrow = isinstance(values, pa.Array | pa.ChunkedArray)
    items = values.to_pylist() if arrow else np.asarray(values, dtype=object).tolist()
    for row, item in enumerate(items, start=1):
        if item is None or item != item or not str(item).strip():  # noqa: PLR0124 - NaN differs from itself
            raise InputError(f"{name}: row {row} is empty; fill it or leave the row out")
    return [str(item) for item in items]


def _check_rows(labels: Sequence[str], ids: Sequence[str]) -> None:
    if len(labels) != len(ids):
        raise InputError(f"{len(labels)} labels, but {len(ids)} ids; there must be one of each for a sample")
    first: dict[str, int] = {}
    for row, sample_id in enumerate(ids, start=1):
        if first.setdefault(sample_id, row) != row:
            raise InputError(f"ids: row {row}: {sample_id} is in row {first[sample_id]} already; leave one out")


def _vectors(embeddings: Any, ids: Sequence[str]) -> Vectors:
    """Embeddings in the order of the ids."""
    if isinstance(embeddings, EmbeddingFiles):
        return read_embeddings(embeddings, ids)
    if isinstance(embeddings, pa.Table) and "embedding" in embeddings.column_names:
        if _id_column(embeddings) is not None:
            return select_embeddings(embeddings, ids)
        if len(embeddings) == len(ids):
            return select_embeddings(embeddings.append_column("sample_id", pa.array(ids)), ids)
        matrix = np.empty((len(embeddings), 0))
    elif isinstance(embeddings, pa.Table):
        matrix = np.column_stack([column.to_numpy() for column in embeddings.columns])
    else:
        matrix = np.asarray(embeddings)
    return _matrix(matrix, len(ids))


def _matrix(matrix: np.ndarray, rows: int) -> Vectors:
    if len(matrix) != rows:
        raise InputError(f"{rows} labels, but {len(matrix)} embeddings; there must be one of each for a sample")
    if matrix.ndim != 2 or not matrix.shape[1] or matrix.dtype.kind not in "fiu":
        raise InputError(f"embeddings: expected numbers [N, D], got {matrix.dtype} of shape {matrix.shape}")
    return np.ascontiguousarray(matrix, np.float32)
