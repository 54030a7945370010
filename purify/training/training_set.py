"""Training data: URIs of images, and their given labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from purify.errors import InputError
from purify.tables.manifest import load_manifest, ok_rows, train_rows


@dataclass(frozen=True)
class TrainingSet:
    """Images and the labels to learn: class names in the order of the head's rows, and an int64[N] index into them.

    `contents` are the SHA-256 of the images' bytes where known (none at all if empty); other bytes are not learned.
    """

    sample_ids: Sequence[str]
    uris: Sequence[str]
    labels: tuple[str, ...]
    label_index: npt.NDArray[np.int64]
    contents: Sequence[str | None] = ()

    @classmethod
    def read(cls, path: Path, *, final: bool = False) -> Self:
        """Read a manifest or cleaned table; see `of_table`.

        A `final` model learns from the split ``train`` alone, if there are others; a model that judges, from all rows.
        """
        table = load_manifest(path)
        return cls.of_table(train_rows(table) if final else table, name=str(path))

    @classmethod
    def of_table(cls, table: pa.Table, *, name: str) -> Self:
        """The ``ok`` rows of a manifest or cleaned table, called `name` in messages.

        Raises InputError if rows have no ``uri``: a table of paths has to be ingested first.
        """
        rows = ok_rows(table)
        if rows["uri"].null_count:
            raise InputError(f"{name}: rows without a uri; run `purify ingest` with the --images roots first")
        contents = rows["sha256"].to_pylist() if "sha256" in rows.column_names else ()
        sample_ids, uris, labels = (rows[column].to_pylist() for column in ("sample_id", "uri", "label"))
        return cls.from_columns(sample_ids, uris, labels, contents)

    @classmethod
    def from_columns(
        cls,
        sample_ids: Sequence[str],
        uris: Sequence[str],
        labels: Sequence[str],
        contents: Sequence[str | None] = (),
    ) -> Self:
        """Images in the order of their ids, and classes in the order of their first image.

        So shuffling the table or renaming its labels leaves the trained weights unchanged.
        """
        order = np.argsort(np.asarray(sample_ids, dtype=object), kind="stable")
        encoded = pa.array(labels, pa.large_string()).take(order).dictionary_encode()
        return cls(
            [sample_ids[row] for row in order],
            [uris[row] for row in order],
            tuple(encoded.dictionary.to_pylist()),
            encoded.indices.to_numpy().astype(np.int64),
            [contents[row] for row in order] if contents else (),
        )
