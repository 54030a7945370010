"""Rows of a manifest without a usable embedding, where the embeddings are given: left out, and said."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from purify.arrays import Ids
from purify.embedding.embedding_files import EmbeddingFiles
from purify.embedding.store import embedding_defects
from purify.errors import InputError
from purify.tables.manifest import is_ok
from purify.tables.schema import MANIFEST, Status

_SHOWN = 3


def mark_unembedded(manifest: pa.Table, given: EmbeddingFiles, *, most_missing: float) -> tuple[pa.Table, list[str]]:
    """The manifest with the status ``no_embedding`` where an ok row has no usable one, and a warning if there are any.

    Raises
    ------
    InputError
        If more than the share `most_missing` of the ok rows has none, or all of them; or the files can't be read.
    """
    ok = is_ok(manifest).to_numpy(zero_copy_only=False)
    ids = manifest["sample_id"].filter(pa.array(ok))
    defects = embedding_defects(given, ids)
    without = defects.is_valid().to_numpy(zero_copy_only=False)
    if not without.any():
        return manifest, []
    causes = "; ".join(f"{count}: {text}" for text, count in Counter(defects.drop_null().to_pylist()).most_common())
    names = ", ".join(ids.filter(pa.array(without))[:_SHOWN].to_pylist())
    found = f"no usable embedding for {without.sum()} of {len(ids)} samples, such as {names}"
    if without.all() or without.sum() > most_missing * len(ids):
        raise InputError(
            f"{given.place}: {found} ({causes}); its ids must be those of the manifest. If so many may be left out, "
            "allow it with --set embeddings.most_missing=1"
        )
    why = pc.binary_join_element_wise(Status.NO_EMBEDDING.value, defects.filter(pa.array(without)), ": ")
    rows = np.flatnonzero(ok)[without]
    return _with(manifest, rows, Status.NO_EMBEDDING.value, why), [f"{found}; they are not judged ({causes})"]


def _with(manifest: pa.Table, rows: Ids, status: str, reasons: pa.Array) -> pa.Table:
    """The manifest with another `status` at `rows`, and its `reasons`."""
    mask = np.zeros(len(manifest), np.bool_)
    mask[rows] = True
    for name, values in (("status", pa.repeat(status, len(rows))), ("status_reason", reasons)):
        column = pc.replace_with_mask(manifest[name].combine_chunks(), pa.array(mask), values.cast(pa.string()))
        manifest = manifest.set_column(manifest.schema.get_field_index(name), MANIFEST.field(name), column)
    return manifest
